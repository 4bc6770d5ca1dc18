"""Continuous batching: one call is under way, and what comes meanwhile goes together in the next.

Nothing waits for company: alone, a request leaves at once. (For inference, Yu et al., "Orca" (2022).)
"""

import asyncio
import contextvars
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar, cast

import structlog

from vectoray.core.deadlines import Deadlines
from vectoray.core.errors import InternalError, Overloaded, ShardUnavailable, VectorayError

_log = structlog.get_logger(__name__)

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
    is_taken: bool = False


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
        self._deadlines = Deadlines(timeout_s)
        self._waiting: deque[_Waiting[_Item, _Answer]] = deque()
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """How many requests wait for a call."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and no call is under way."""
        return not self._waiting and not self._calls

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
        deadline = self._deadlines.start(partial(self._expire, waiting))
        self._waiting.append(waiting)
        if len(self._calls) < self._limits.calls:
            # An empty context: Ray Serve cancels the calls of a task that inherits a cancelled request's.
            call = loop.create_task(self._run(), context=contextvars.Context())
            self._calls.add(call)
            # For one that is cancelled before it begins.
            call.add_done_callback(self._calls.discard)
        try:
            return await waiting.answer
        finally:
            self._deadlines.stop(deadline)
            if not waiting.is_taken:
                # What nobody waits for any longer must not keep others out, nor hold its bytes.
                self._waiting.remove(waiting)

    def _expire(self, waiting: _Waiting[_Item, _Answer]) -> None:
        if not waiting.answer.done():
            waiting.answer.set_exception(
                ShardUnavailable(
                    f"A part of the cluster did not answer within {self._timeout_s:g} s; try again."
                )
            )

    async def _run(self) -> None:
        try:
            while batch := self._take():
                _hand_out(batch, await self._answers(batch))
        except asyncio.CancelledError:
            while batch := self._take():
                _hand_out(batch, [_given_up()] * len(batch))
            raise
        finally:
            # In the step in which nothing was left: whoever asks next must find that nobody will take it.
            self._calls.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _answers(self, batch: "list[_Waiting[_Item, _Answer]]") -> "Sequence[_Answer | VectorayError]":
        """What came back, an answer or an error for each, whatever goes wrong."""
        error: VectorayError
        try:
            self._observe(len(batch))
            answers = await self._send([one.item for one in batch])
            if len(answers) == len(batch):
                return answers
            _log.error("batch_answered_in_part", requests=len(batch), answers=len(answers))
            error = InternalError("A part of the cluster failed while answering.")
        except VectorayError as raised:
            error = raised
        except asyncio.CancelledError:
            # The callers are not cancelled, whoever else was.
            error = _given_up()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                _hand_out(batch, [error] * len(batch))
                raise
        except Exception:  # noqa: BLE001  (logged, and told to the callers)
            _log.exception("batch_failed", requests=len(batch))
            error = InternalError("A part of the cluster failed while answering.")
        return [error] * len(batch)

    def _take(self) -> list[_Waiting[_Item, _Answer]]:
        """The next batch, without those whose caller is gone."""
        batch: list[_Waiting[_Item, _Answer]] = []
        size_bytes = 0
        while self._waiting and len(batch) < self._limits.items:
            one = self._waiting[0]
            if batch and size_bytes + one.size_bytes > self._limits.size_bytes:
                break
            self._waiting.popleft()
            one.is_taken = True
            if not one.answer.done():
                batch.append(one)
                size_bytes += one.size_bytes
        return batch


def _hand_out(
    batch: "Sequence[_Waiting[_Item, _Answer]]", answers: "Sequence[_Answer | VectorayError]"
) -> None:
    for one, answer in zip(batch, answers, strict=True):
        if one.answer.done():
            continue
        if isinstance(answer, VectorayError):
            # One each: an exception that is raised collects the frames it passes.
            one.answer.set_exception(copy.copy(answer))
        else:
            one.answer.set_result(answer)


def _given_up() -> ShardUnavailable:
    return ShardUnavailable("A call to a part of the cluster was given up; try again in a moment.")
