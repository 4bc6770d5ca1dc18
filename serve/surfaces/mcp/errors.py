"""Which status an error has that comes before a tool is called, and the protocol's envelope of it."""

from typing import Any

from mcp_types import INTERNAL_ERROR, INVALID_REQUEST
from starlette.responses import Response

from serve.answer import json_response
from vectoray.core.errors import ErrorCode, VectorayError

STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.BODY_TOO_LARGE: 413,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.OVERLOADED: 503,
    ErrorCode.DEADLINE_EXCEEDED: 503,
}
"""Errors of the tools are no errors of HTTP, but results that a language model reads."""


def render_error(error: VectorayError, _operation: str) -> Response:
    """``error`` as a JSON-RPC error that answers no message in particular."""
    return _envelope(STATUS.get(error.code, 500), error.message, {"code": error.code.value, **error.details})


def render_http_error(status: int, message: str) -> Response:
    """An error of HTTP itself in the same form."""
    return _envelope(status, message, None)


def rpc_error(status: int, code: int, message: str, data: dict[str, Any] | None = None) -> Response:
    """A JSON-RPC error without the id of a message, as the answer to a request of HTTP."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return json_response({"jsonrpc": "2.0", "id": None, "error": error}, status=status)


def _envelope(status: int, message: str, data: dict[str, Any] | None) -> Response:
    return rpc_error(status, INVALID_REQUEST if status < 500 else INTERNAL_ERROR, message, data)
