"""Errors as `{"detail": "..."}`, for the families whose envelope that is: one total table of statuses."""

from starlette.responses import Response

from serve.answer import json_response
from vectoray.core.errors import ErrorCode, VectorayError

STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.INVALID_NAME: 400,
    ErrorCode.DIMENSION_MISMATCH: 400,
    ErrorCode.LIMIT_EXCEEDED: 400,
    ErrorCode.BODY_TOO_LARGE: 413,
    ErrorCode.COLLECTION_NOT_FOUND: 404,
    ErrorCode.POINT_NOT_FOUND: 404,
    ErrorCode.VERSION_NOT_FOUND: 404,
    ErrorCode.SNAPSHOT_NOT_FOUND: 404,
    ErrorCode.API_KEY_NOT_FOUND: 404,
    ErrorCode.JOB_NOT_FOUND: 404,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.COLLECTION_EXISTS: 409,
    ErrorCode.POINT_EXISTS: 409,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.SHARD_UNAVAILABLE: 503,
    ErrorCode.OVERLOADED: 503,
    ErrorCode.DEADLINE_EXCEEDED: 503,
    ErrorCode.STORAGE_FULL: 503,
    ErrorCode.INTERNAL: 500,
    ErrorCode.CORRUPT_DATA: 500,
}


def render_error(error: VectorayError, _operation: str) -> Response:
    """``error`` in the family's envelope."""
    return render_http_error(STATUS[error.code], error.message)


def render_http_error(status: int, message: str) -> Response:
    """An error of HTTP itself in the family's envelope."""
    return json_response({"detail": message}, status=status)
