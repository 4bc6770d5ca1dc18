"""How the kiss-vdb API names and numbers every error: one total table, and the envelope."""

from starlette.responses import Response

from serve.answer import json_response
from vectoray.core.errors import ErrorCode, VectorayError

STATUS_AND_CODE: dict[ErrorCode, tuple[int, str]] = {
    ErrorCode.INVALID_REQUEST: (400, "invalid_argument"),
    ErrorCode.INVALID_NAME: (400, "invalid_argument"),
    ErrorCode.DIMENSION_MISMATCH: (400, "dim_mismatch"),
    ErrorCode.LIMIT_EXCEEDED: (400, "invalid_argument"),
    ErrorCode.BODY_TOO_LARGE: (413, "payload_too_large"),
    ErrorCode.COLLECTION_NOT_FOUND: (404, "not_found"),
    ErrorCode.POINT_NOT_FOUND: (404, "not_found"),
    ErrorCode.VERSION_NOT_FOUND: (404, "not_found"),
    ErrorCode.SNAPSHOT_NOT_FOUND: (404, "not_found"),
    ErrorCode.API_KEY_NOT_FOUND: (404, "not_found"),
    ErrorCode.JOB_NOT_FOUND: (404, "not_found"),
    ErrorCode.NOT_FOUND: (404, "not_found"),
    ErrorCode.CONFLICT: (409, "conflict"),
    ErrorCode.COLLECTION_EXISTS: (409, "already_exists"),
    ErrorCode.POINT_EXISTS: (409, "already_exists"),
    ErrorCode.UNAUTHENTICATED: (401, "unauthorized"),
    ErrorCode.PERMISSION_DENIED: (403, "forbidden"),
    ErrorCode.RATE_LIMITED: (429, "rate_limited"),
    ErrorCode.UNAVAILABLE: (503, "unavailable"),
    ErrorCode.SHARD_UNAVAILABLE: (503, "unavailable"),
    ErrorCode.OVERLOADED: (503, "unavailable"),
    ErrorCode.DEADLINE_EXCEEDED: (503, "unavailable"),
    ErrorCode.STORAGE_FULL: (503, "unavailable"),
    ErrorCode.INTERNAL: (500, "internal"),
    ErrorCode.CORRUPT_DATA: (500, "internal"),
}

HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}
"""What statuses are called that the framework answers before a handler is chosen."""


def render_error(error: VectorayError, _operation: str) -> Response:
    """``error`` in the family's envelope."""
    return json_response(envelope(error), status=STATUS_AND_CODE[error.code][0])


def render_http_error(status: int, message: str) -> Response:
    """An error of HTTP itself in the family's envelope."""
    fallback = "invalid_argument" if status < 500 else "internal"
    return json_response({"error": HTTP_CODES.get(status, fallback), "message": message}, status=status)


def envelope(error: VectorayError) -> dict[str, str]:
    """An `wire.ErrorBody`: also of one item in a batch whose others went well."""
    return {"error": STATUS_AND_CODE[error.code][1], "message": error.message}
