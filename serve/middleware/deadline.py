"""Gives up requests that take too long to begin to answer."""

import asyncio
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vectoray.core.errors import DeadlineExceeded, VectorayError


class Deadline:
    """A request whose answer has not begun after ``timeout_s`` is cancelled and answered as late.

    An answer that has begun, such as a stream of events, may take as long as it likes.
    """

    def __init__(
        self,
        app: ASGIApp,
        answer_error: Callable[[VectorayError, Scope], Response],
        *,
        timeout_s: float,
    ) -> None:
        self._app = app
        self._answer_error = answer_error
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        deadline = asyncio.timeout(self._timeout_s)

        async def send_and_relax(message: Message) -> None:
            if message["type"] == "http.response.start" and not deadline.expired():
                deadline.reschedule(None)
            await send(message)

        try:
            async with deadline:
                await self._app(scope, receive, send_and_relax)
        except TimeoutError:
            if not deadline.expired():
                raise
            late = DeadlineExceeded(
                f"The answer was not ready after {self._timeout_s:g} s. A change may still have been made."
            )
            await self._answer_error(late, scope)(scope, receive, send)
