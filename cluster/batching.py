"""Continuous batching: one call is under way, and what comes meanwhile goes together in the next.

Nothing waits for company: alone, a request leaves at once. (For inference, Yu et al., "Orca" (2022).)
"""

import asyncio
import contextvars
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from vectoray.core.errors import Overloaded, ShardUnavailable, VectorayError

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of a `Batcher`.

    Attributes:
        calls: Calls under way at a time.
        items: Requests in one call.
        size_bytes: Bytes of requests in one call; a larger request goes alone.
        waiting: Requests that may wait.
    """

    calls: int = 1
    items: int = 64
    size_bytes: int = 64 * 2**20
    waiting: int = 1024


@dataclass(slots=True, eq=False)
class _Waiting(Generic[_Item, _Answer]):
    item: _Item
    size_bytes: int
    answer: "asyncio.Future[_Answer]"


class Batcher(Generic[_Item, _Answer]):
    """Sends requests in batches. For one event loop.

    Whoever asks may be cancelled, or give up, at any time: others in the same batch do not notice.
    """

    def __init__(
        self,
        send: Callable[[list[_Item]], Awaitable[Sequence[_Answer | VectorayError]]],
        *,
        limits: BatchLimits = BatchLimits(),
        timeout_s: float,
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Make one; nothing runs until somebody asks.

        Args:
            send: Sends requests and returns an answer or an error for each, in their order. It ends within a
                bounded time.
            limits: How much goes together, and how much may wait.
            timeout_s: Seconds after which a request without an answer fails.
            observe: Told the number of requests of each call.
        """
        self._send, self._limits, self._timeout_s, self._observe = send, limits, timeout_s, observe
        self._waiting: deque[_Waiting[_Item, _Answer]] = deque()
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """How many requests wait for a call."""
        return len(self._waiting)

    async def ask(self, item: _Item, *, size_bytes: int = 0) -> _Answer:
        """Send a request with the next batch.

        Raises:
            Overloaded: Too many wait already.
            ShardUnavailable: No answer came in time.
            VectorayError: What the answer was, or why the call failed.
        """
        if len(self._waiting) >= self._limits.waiting:
            raise Overloaded("Too many requests are waiting; try again in a moment.")
        loop = asyncio.get_running_loop()
        waiting = _Waiting[_Item, _Answer](item, size_bytes, loop.create_future())
        self._waiting.append(waiting)
        if len(self._calls) < self._limits.calls:
            # An empty context: Ray Serve cancels the calls of a task that inherits a cancelled request's.
            call = loop.create_task(self._run(), context=contextvars.Context())
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await waiting.answer
        except TimeoutError:
            raise ShardUnavailable(
                f"A part of the cluster did not answer within {self._timeout_s:g} s; try again."
            ) from None

    async def _run(self) -> None:
        while batch := self._take():
            self._observe(len(batch))
            try:
                answers = await self._send([one.item for one in batch])
            except BaseException as error:  # noqa: BLE001  (whoever waits must hear of it, whatever it is)
                answers = [error] * len(batch)  # type: ignore[list-item]
            for one, answer in zip(batch, answers, strict=True):
                if one.answer.done():
                    continue
                if isinstance(answer, BaseException):
                    # One each: an exception that is raised collects the frames it passes.
                    one.answer.set_exception(copy.copy(answer))
                else:
                    one.answer.set_result(answer)

    def _take(self) -> list[_Waiting[_Item, _Answer]]:
        """The next batch, without those whose caller is gone."""
        batch: list[_Waiting[_Item, _Answer]] = []
        size_bytes = 0
        while self._waiting and len(batch) < self._limits.items:
            one = self._waiting[0]
            if batch and size_bytes + one.size_bytes > self._limits.size_bytes:
                break
            self._waiting.popleft()
            if not one.answer.done():
                batch.append(one)
                size_bytes += one.size_bytes
        return batch
