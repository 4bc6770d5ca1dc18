"""Knows when this gateway is to end, for answers that would go on for ever.

Ray Serve tells an application nothing before its HTTP server has finished what it has, which with a stream is
when Ray Serve loses its patience. But it tells HAProxy: a replica that is to end is not well. So it is asked
as HAProxy asks it. See docs/adr/0032.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog

_log = structlog.get_logger(__name__)

_Message = MutableMapping[str, Any]
_App = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]
]

_PATH = "/-/healthz"
_ASKED_EVERY_S = 1.0


class Draining:
    """One gateway's end, when it comes."""

    def __init__(self, serve: _App, *, every_s: float = _ASKED_EVERY_S) -> None:
        """Watch what ``serve``, Ray Serve's ASGI application in this process, says of itself.

        It is asked every ``every_s`` seconds, from when the first one waits for the answer.
        """
        self._serve = serve
        self._every_s = every_s
        self._watch: asyncio.Task[None] | None = None

    async def begun(self) -> None:
        """Wait until the gateway is to end."""
        if self._watch is None:
            # Nobody's request in particular.
            self._watch = asyncio.create_task(self._until_unwell(), context=contextvars.Context())
        await asyncio.shield(self._watch)

    async def _until_unwell(self) -> None:
        # Nobody would set an event.
        while await self._is_well():  # noqa: ASYNC110
            await asyncio.sleep(self._every_s)

    async def _is_well(self) -> bool:
        status = 0

        async def receive() -> _Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: _Message) -> None:
            nonlocal status
            status = message.get("status", status)

        try:
            await self._serve(_question(), receive, send)
        except Exception:  # noqa: BLE001  (another version of Ray Serve may fail as it likes: streams go on)
            _log.exception("gateway_not_asked_whether_it_ends")
            return True
        return status == 200


def _question() -> _Message:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": _PATH,
        "raw_path": _PATH.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "client": None,
        "server": None,
        "state": {},
    }
