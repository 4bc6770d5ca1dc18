"""Numbers every request, and answers when everything below has crashed."""

from collections.abc import Callable
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vectoray.core.errors import InternalError, VectorayError

_log = structlog.get_logger(__name__)


class RequestId:
    """Binds a fresh number to the request, its log lines and the response header ``vectoray-request-id``.

    A number that the client sends is not used: it could forge or hide lines of the log.
    """

    def __init__(self, app: ASGIApp, answer_error: Callable[[VectorayError, Scope], Response]) -> None:
        self._app = app
        self._answer_error = answer_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        request_id = uuid4().hex
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        started = False

        async def send_numbered(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["vectoray-request-id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_numbered)
            except ClientDisconnect:
                _log.info("client_left")
            except Exception:  # noqa: BLE001 (the last place where it can be answered and logged)
                _log.exception("request_crashed", method=scope["method"], path=scope["path"])
                if not started:
                    response = self._answer_error(InternalError("Crashed."), scope)
                    await response(scope, receive, send_numbered)
