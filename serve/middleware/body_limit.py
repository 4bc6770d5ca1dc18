"""Refuses request bodies above a limit, announced or counted while they arrive."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vectoray.core.errors import BodyTooLarge, VectorayError


class BodyLimit:
    """At most ``limit_bytes`` of a body reach the app."""

    def __init__(
        self,
        app: ASGIApp,
        answer_error: Callable[[VectorayError, Scope], Response],
        *,
        limit_bytes: int,
    ) -> None:
        self._app = app
        self._answer_error = answer_error
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced[:20]) > self._limit_bytes:
            error = BodyTooLarge.of(limit_bytes=self._limit_bytes)
            await self._answer_error(error, scope)(scope, receive, send)
            return
        received_bytes = 0

        async def receive_counted() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._limit_bytes:
                # Raised to the handler that reads the body, whose app answers it like any error of ours.
                raise BodyTooLarge.of(limit_bytes=self._limit_bytes)
            return message

        await self._app(scope, receive_counted, send)
