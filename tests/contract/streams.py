"""Follows a stream of events of an app in this process, as a client on a connection of its own does."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
from starlette.types import ASGIApp, Message


class Frame(NamedTuple):
    """One event as it was sent."""

    event: str
    id: int
    data: dict[str, Any]


class Stream:
    """What has come so far, and what comes.

    Attributes:
        status: Of the answer.
        headers: Of the answer, by lower-case names.
    """

    def __init__(self, start: Message, messages: "asyncio.Queue[Message]") -> None:
        self.status: int = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self._messages = messages

    async def take(self, count: int) -> list[Frame]:
        """The next frames, without comments."""
        found: list[Frame] = []
        while len(found) < count:
            body = (await self._next())["body"]
            if body and not body.startswith(b":"):
                found.append(_parsed(body))
        return found

    async def ended(self) -> bytes:
        """What comes until the end."""
        rest = b""
        while True:
            message = await self._next()
            rest += message["body"]
            if not message.get("more_body", False):
                return rest

    async def _next(self) -> Message:
        async with asyncio.timeout(20):
            return await self._messages.get()


@asynccontextmanager
async def following(
    app: ASGIApp, url: str, headers: Mapping[str, str] | None = None, state: Mapping[str, Any] | None = None
) -> AsyncIterator[Stream]:
    """Ask ``app`` for a stream; the client leaves at the end."""
    messages: asyncio.Queue[Message] = asyncio.Queue()
    left = asyncio.Event()
    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        message = next(asked, None)
        if message is not None:
            return message
        await left.wait()
        return {"type": "http.disconnect"}

    parts = urlsplit(url)
    sent = {"host": "localhost:8000", **(headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "root_path": "",
        "query_string": parts.query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "state": dict(state or {}),
    }
    answering = asyncio.ensure_future(app(scope, receive, messages.put))
    try:
        async with asyncio.timeout(20):
            start = await messages.get()
        yield Stream(start, messages)
    finally:
        left.set()
        async with asyncio.timeout(20):
            await answering


def _parsed(body: bytes) -> Frame:
    lines = body.decode().removesuffix("\n\n").split("\n")
    names = [line.split(": ", 1)[0] for line in lines]
    assert names == ["event", "id", "data"], body
    event, offset, data = (line.split(": ", 1)[1] for line in lines)
    return Frame(event, int(offset), orjson.loads(data))
