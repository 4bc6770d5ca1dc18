"""Streams of events as ASGI messages: frames, comments, and what happens when either side leaves."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from cluster.draining import Draining
from serve.event_stream import EventStream, frame
from serve.middleware.admission import Admission
from vectoray.core.errors import Overloaded


class Client:
    """The other side of one ASGI request."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.messages.put(message)

    async def body(self) -> bytes:
        message = await self.messages.get()
        assert message["type"] == "http.response.body"
        return bytes(message["body"])


class Numbers:
    """Numbers up to an end, or none until it is closed."""

    def __init__(self, *numbers: int, wait: bool = False) -> None:
        self.closed = 0
        self._items = self._all(numbers, wait=wait)

    async def _all(self, numbers: tuple[int, ...], *, wait: bool) -> AsyncGenerator[int, None]:
        for number in numbers:
            yield number
        if wait:
            await asyncio.Event().wait()

    async def __anext__(self) -> int:
        return await self._items.__anext__()

    async def aclose(self) -> None:
        self.closed += 1
        await self._items.aclose()


async def start(client: Client, stream: EventStream[int], state: dict[str, Any] | None = None) -> Any:
    task = asyncio.create_task(stream({"type": "http", "state": state or {}}, client.receive, client.send))
    message = await client.messages.get()
    assert message["status"] == 200
    assert (b"content-type", b"text/event-stream") in message["headers"]
    assert await client.body() == b": open\n\n"
    return task


def encode(number: int) -> bytes:
    return frame({"n": number}, event="count", offset=number)


async def test_frames_are_sent_as_they_come_and_the_end_ends_the_answer() -> None:
    client, numbers = Client(), Numbers(1, 2)
    task = await start(client, EventStream(numbers, encode))
    assert await client.body() == b'event: count\nid: 1\ndata: {"n":1}\n\n'
    assert await client.body() == b'event: count\nid: 2\ndata: {"n":2}\n\n'
    last = await client.messages.get()
    assert last == {"type": "http.response.body", "body": b"", "more_body": False}
    await task
    assert numbers.closed == 1


async def test_a_comment_is_sent_while_nothing_comes() -> None:
    client, numbers = Client(), Numbers(1, wait=True)
    task = await start(client, EventStream(numbers, encode, keep_alive_s=0.01))
    assert (await client.body()).startswith(b"event")
    assert await client.body() == b": keep-alive\n\n"
    assert await client.body() == b": keep-alive\n\n"
    client.left.set()
    await task


async def test_a_client_that_leaves_closes_the_items_while_they_wait() -> None:
    client, numbers = Client(), Numbers(wait=True)
    task = await start(client, EventStream(numbers, encode))
    client.left.set()
    await task
    assert numbers.closed == 1


async def test_a_gateway_that_is_to_end_ends_the_answer_in_good_order() -> None:
    ending = asyncio.Event()

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 503 if ending.is_set() else 200, "headers": []})

    client, numbers = Client(), Numbers(1, wait=True)
    task = await start(client, EventStream(numbers, encode), {"draining": Draining(serve, every_s=0.01)})
    assert (await client.body()).startswith(b"event")
    ending.set()
    assert await client.messages.get() == {"type": "http.response.body", "body": b"", "more_body": False}
    await task
    assert numbers.closed == 1


async def test_a_server_that_stops_closes_the_items() -> None:
    client, numbers = Client(), Numbers(wait=True)
    task = await start(client, EventStream(numbers, encode))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert numbers.closed == 1


async def test_a_stream_leaves_its_place_to_others_once() -> None:
    admission = Admission(1)
    place = admission.enter()
    client = Client()
    task = await start(client, EventStream(Numbers(wait=True), encode), {"place": place})
    second = admission.enter()
    place.leave()
    with pytest.raises(Overloaded):
        admission.enter()
    second.leave()
    client.left.set()
    await task


def test_a_frame_is_one_event_whatever_its_text_holds() -> None:
    assert frame({"text": "a\nb\r\n\u2028"}) == 'data: {"text":"a\\nb\\r\\n\u2028"}\n\n'.encode()
