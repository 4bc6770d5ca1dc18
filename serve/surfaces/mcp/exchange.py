"""One message of a client and its answer, by the package's own HTTP transport, which lives as long as that.

The transport is made to keep sessions, and to run as long as the server. One that keeps none costs little, so
each request has its own: nothing outlives a request, and any gateway can answer the next. See docs/adr/0036.
"""

from typing import Any

import orjson
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import INVALID_REQUEST, PARSE_ERROR, JSONRPCNotification, jsonrpc_message_adapter
from pydantic import ValidationError
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from serve.surfaces.mcp.errors import rpc_error


def answer_to(body: bytes, content_type: str, server: Server[Any]) -> Response:
    """The answer of ``server`` to a body that holds one message of JSON-RPC, and a refusal of any other.

    Nothing is passed on that parsers read in different ways.

    Args:
        body: As it was sent.
        content_type: The header; "" without one.
        server: Answers.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return _refusal("The body must be JSON, sent with 'Content-Type: application/json'.")
    try:
        document = orjson.loads(body)
        spelled = orjson.dumps(document)
    except orjson.JSONDecodeError as error:
        return _refusal(f"The body is not valid JSON: {error}.", PARSE_ERROR)
    except orjson.JSONEncodeError:
        return _refusal("The body is nested too deeply.")
    if not _is_message(document):
        return _refusal("The body must be one message of JSON-RPC 2.0, and not a list of them.")
    return Exchange(server, spelled)


def _refusal(message: str, code: int = INVALID_REQUEST) -> Response:
    return rpc_error(400, code, message)


def _is_message(document: object) -> bool:
    try:
        message = jsonrpc_message_adapter.validate_python(document, by_name=False)
    except ValidationError:
        return False
    # Whoever sends an id waits for an answer, be it an id that none can have.
    return not (isinstance(message, JSONRPCNotification) and isinstance(document, dict) and "id" in document)


class Exchange(Response):
    """The answer of ``server`` to one message."""

    def __init__(self, server: Server[Any], message: bytes) -> None:
        """Make it.

        Args:
            server: Answers.
            message: One message of JSON-RPC.
        """
        self.status_code = 200
        self.background = None
        self._server = server
        self._message = message

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        read = False

        async def receive_again() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": self._message, "more_body": False}

        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        transport = StreamableHTTPSessionManager(
            self._server, json_response=True, stateless=True, max_request_body_size=len(self._message)
        )
        async with transport.run():
            await transport.handle_request({**scope, "headers": headers}, receive_again, send)
