"""How the Vectorizer API names and numbers every error: one total table, and the envelope."""

from starlette.responses import Response

from serve.answer import json_response
from vectoray.core.errors import ErrorCode, VectorayError

STATUS_AND_CODE: dict[ErrorCode, tuple[int, str]] = {
    ErrorCode.INVALID_REQUEST: (400, "VALIDATION_ERROR"),
    ErrorCode.INVALID_NAME: (400, "INVALID_COLLECTION_NAME"),
    ErrorCode.DIMENSION_MISMATCH: (400, "INVALID_DIMENSION"),
    ErrorCode.LIMIT_EXCEEDED: (400, "VALIDATION_ERROR"),
    ErrorCode.BODY_TOO_LARGE: (413, "PAYLOAD_TOO_LARGE"),
    ErrorCode.COLLECTION_NOT_FOUND: (404, "COLLECTION_NOT_FOUND"),
    ErrorCode.POINT_NOT_FOUND: (404, "VECTOR_NOT_FOUND"),
    ErrorCode.VERSION_NOT_FOUND: (404, "VERSION_NOT_FOUND"),
    ErrorCode.SNAPSHOT_NOT_FOUND: (404, "SNAPSHOT_NOT_FOUND"),
    ErrorCode.API_KEY_NOT_FOUND: (404, "API_KEY_NOT_FOUND"),
    ErrorCode.JOB_NOT_FOUND: (404, "JOB_NOT_FOUND"),
    ErrorCode.NOT_FOUND: (404, "NOT_FOUND"),
    ErrorCode.CONFLICT: (409, "CONFLICT"),
    ErrorCode.COLLECTION_EXISTS: (409, "COLLECTION_ALREADY_EXISTS"),
    ErrorCode.POINT_EXISTS: (409, "CONFLICT"),
    ErrorCode.UNAUTHENTICATED: (401, "UNAUTHORIZED"),
    ErrorCode.PERMISSION_DENIED: (403, "FORBIDDEN"),
    ErrorCode.RATE_LIMITED: (429, "RATE_LIMITED"),
    ErrorCode.UNAVAILABLE: (503, "SERVICE_UNAVAILABLE"),
    ErrorCode.SHARD_UNAVAILABLE: (503, "SERVICE_UNAVAILABLE"),
    ErrorCode.OVERLOADED: (503, "SERVICE_UNAVAILABLE"),
    ErrorCode.DEADLINE_EXCEEDED: (503, "SERVICE_UNAVAILABLE"),
    ErrorCode.STORAGE_FULL: (503, "SERVICE_UNAVAILABLE"),
    ErrorCode.INTERNAL: (500, "INTERNAL_ERROR"),
    ErrorCode.CORRUPT_DATA: (500, "INTERNAL_ERROR"),
}

FAILED_OPERATION = {"insert_vectors": "VECTOR_INSERTION_FAILED", "search": "SEARCH_FAILED"}
"""Handler -> what its failures, statuses from 500 on, are called instead."""

HTTP_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "PAYLOAD_TOO_LARGE"}
"""What statuses are called that the framework answers before a handler is chosen."""


def render_error(error: VectorayError, operation: str) -> Response:
    """``error``, raised under the handler named ``operation``, in the family's envelope."""
    status, code = STATUS_AND_CODE[error.code]
    if status >= 500:
        code = FAILED_OPERATION.get(operation, code)
    return _envelope(status, error.message, code, error.details)


def render_http_error(status: int, message: str) -> Response:
    """An error of HTTP itself in the family's envelope."""
    fallback = "VALIDATION_ERROR" if status < 500 else "INTERNAL_ERROR"
    return _envelope(status, message, HTTP_CODES.get(status, fallback), {})


def _envelope(status: int, message: str, code: str, details: dict[str, object]) -> Response:
    return json_response({"error": message, "code": code, "details": details}, status=status)
