"""Server-sent events as an answer: frames as they come, and a comment now and then where none comes.

A stream ends when the gateway is to end, so that its client goes on at another one.

The format is that of https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

KEEP_ALIVE_S = 15.0
EVENT_STREAM_TYPE = "text/event-stream"

_KEEP_ALIVE = b": keep-alive\n\n"
# Sent at once, so that the client and every proxy between know that the stream is open.
_OPENED = b": open\n\n"
_HEADERS = [
    (b"content-type", EVENT_STREAM_TYPE.encode()),
    (b"cache-control", b"no-cache"),
    # Proxies that collect answers are asked not to.
    (b"x-accel-buffering", b"no"),
]


class Items(Protocol[T_co]):
    """What a stream tells, one by one, until it ends or is closed. An asynchronous generator is one."""

    def __anext__(self) -> Coroutine[Any, Any, T_co]:
        """The next one, once there is one."""

    def aclose(self) -> Coroutine[Any, Any, None]:
        """Release what the stream holds; may be called when it has not begun, and more than once."""


class EventStream(Response, Generic[T]):
    """An answer that goes on until its items end, the client leaves, or the gateway is to end."""

    def __init__(
        self,
        items: Items[T],
        encode: Callable[[T], bytes],
        *,
        headers: Mapping[str, str] | None = None,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        """An answer of ``items``, which it closes in the end.

        Args:
            items: Asked for one at a time, as fast as the client reads.
            encode: Makes a frame of an item, see `frame`.
            headers: Sent besides those of every event stream.
            keep_alive_s: A comment is sent when nothing has come for so long.
        """
        self.status_code = 200
        self.background = None
        self._items = items
        self._encode = encode
        self._keep_alive_s = keep_alive_s
        extra = (headers or {}).items()
        self.raw_headers = [
            *_HEADERS,
            *((name.lower().encode(), value.encode("latin-1")) for name, value in extra),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        state = scope.get("state", {})
        place = state.get("place")
        if place is not None:
            place.leave()
        left = asyncio.ensure_future(_client_left(receive))
        ends: list[asyncio.Future[Any]] = [left]
        if "draining" in state:
            ends.append(asyncio.ensure_future(state["draining"].begun()))
        following: asyncio.Future[T] | None = None
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": _OPENED, "more_body": True})
            while not _any_done(ends):
                if following is None:
                    following = asyncio.ensure_future(self._items.__anext__())
                await asyncio.wait(
                    [following, *ends], timeout=self._keep_alive_s, return_when=asyncio.FIRST_COMPLETED
                )
                body = _KEEP_ALIVE
                if following.done():
                    try:
                        body = self._encode(following.result())
                    except StopAsyncIteration:
                        break
                    finally:
                        following = None
                if not _any_done(ends):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            if not left.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            for end in ends:
                end.cancel()
            if following is not None:
                following.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration):
                    await following
            await self._items.aclose()


def frame(data: object, *, event: str | None = None, offset: int | None = None) -> bytes:
    """One event.

    Args:
        data: Becomes JSON, which has no line breaks.
        event: Its type, without line breaks; "message" to the client when None.
        offset: Its id, which the client says in ``Last-Event-ID`` when it comes back.
    """
    lines = []
    if event is not None:
        lines.append(b"event: " + event.encode())
    if offset is not None:
        lines.append(b"id: %d" % offset)
    return b"\n".join([*lines, b"data: " + orjson.dumps(data), b"", b""])


def _any_done(ends: Sequence[asyncio.Future[Any]]) -> bool:
    return any(end.done() for end in ends)


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
