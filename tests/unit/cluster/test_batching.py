"""Batches: who goes with whom, and that nobody's fate is another's."""

import asyncio
import contextvars
from collections.abc import Sequence

import pytest

from cluster.batching import Batcher, BatchLimits
from vectoray.core.errors import (
    InternalError,
    InvalidRequest,
    Overloaded,
    ShardUnavailable,
    VectorayError,
)


class Wire:
    """A way to send that waits at a gate and answers each item with itself, or with the error it names."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.failure: BaseException | None = None

    async def send(self, items: list[str]) -> Sequence[str | VectorayError]:
        self.batches.append(items)
        self.entered.set()
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return [InvalidRequest(item) if item.startswith("bad") else item for item in items]


def batcher(wire: Wire, *, timeout_s: float = 10, **limits: int) -> Batcher[str, str]:
    return Batcher(wire.send, limits=BatchLimits(**limits), timeout_s=timeout_s)


async def hold(wire: Wire, calls: Batcher[str, str], item: str = "first") -> asyncio.Task[str]:
    """Let a first call be under way until the gate opens."""
    wire.gate.clear()
    first = asyncio.create_task(calls.ask(item))
    await wire.entered.wait()
    return first


async def ask_all(calls: Batcher[str, str], *items: str) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(calls.ask(item)) for item in items]
    await asyncio.sleep(0)
    assert calls.waiting == len(items)
    return tasks


async def test_a_request_alone_leaves_at_once() -> None:
    wire = Wire()
    assert await batcher(wire).ask("a") == "a"
    assert wire.batches == [["a"]]


async def test_what_comes_during_a_call_goes_together_in_the_next() -> None:
    wire = Wire()
    calls = batcher(wire)
    first = await hold(wire, calls)
    others = await ask_all(calls, "a", "b", "c")
    wire.gate.set()
    assert await asyncio.gather(first, *others) == ["first", "a", "b", "c"]
    assert wire.batches == [["first"], ["a", "b", "c"]]


async def test_whoever_asks_again_as_soon_as_there_is_an_answer_is_sent_at_once() -> None:
    """The call that brought the answer is over by then, though its task may not have told so yet."""
    wire = Wire()
    calls = batcher(wire, timeout_s=2)
    for number in range(5):
        assert await calls.ask(f"{number}") == f"{number}"
    assert len(wire.batches) == 5
    assert calls.is_idle


async def test_as_many_calls_are_under_way_as_are_allowed() -> None:
    wire = Wire()
    calls = batcher(wire, calls=2)
    first = await hold(wire, calls)
    second = asyncio.create_task(calls.ask("second"))
    await asyncio.sleep(0)
    others = await ask_all(calls, "a", "b")
    assert wire.batches == [["first"], ["second"]]
    wire.gate.set()
    assert await asyncio.gather(first, second, *others) == ["first", "second", "a", "b"]


async def test_a_batch_is_bounded_in_number_and_in_bytes() -> None:
    wire = Wire()
    calls = batcher(wire, items=3, size_bytes=10)
    first = await hold(wire, calls)
    sizes = {"a": 4, "b": 6, "c": 1, "d": 99, "e": 0, "f": 0, "g": 0, "h": 0}
    others = [asyncio.create_task(calls.ask(item, size_bytes=size)) for item, size in sizes.items()]
    await asyncio.sleep(0)
    wire.gate.set()
    await asyncio.gather(first, *others)
    assert wire.batches == [["first"], ["a", "b"], ["c"], ["d"], ["e", "f", "g"], ["h"]]


async def test_an_error_is_for_the_one_who_asked() -> None:
    wire = Wire()
    calls = batcher(wire)
    first = await hold(wire, calls)
    good, bad = await ask_all(calls, "good", "bad")
    wire.gate.set()
    with pytest.raises(InvalidRequest, match="bad"):
        await bad
    assert await first == "first"
    assert await good == "good"


async def test_a_failed_call_fails_its_own_batch_and_no_other() -> None:
    wire = Wire()
    calls = batcher(wire)
    wire.failure = ShardUnavailable("gone")
    first = await hold(wire, calls)
    wire.gate.set()
    with pytest.raises(ShardUnavailable, match="gone"):
        await first
    wire.failure = None
    assert await calls.ask("a") == "a"


class Odd(Exception):
    """An exception that cannot be copied."""

    def __init__(self, one: str, *, two: str) -> None:
        super().__init__(one + two)


@pytest.mark.parametrize("failure", [Odd("a", two="b"), ValueError("secret")])
async def test_whatever_a_call_fails_with_all_hear_of_it_in_our_words(failure: Exception) -> None:
    wire = Wire()
    calls = batcher(wire)
    first = await hold(wire, calls)
    others = await ask_all(calls, "a", "b")
    wire.failure = failure
    wire.gate.set()
    async with asyncio.timeout(2):
        answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(answer) for answer in answers] == [InternalError] * 3
    assert "secret" not in str(answers)
    wire.failure = None
    assert await calls.ask("next") == "next"


async def test_a_call_that_others_cancel_cancels_nobody_who_waits() -> None:
    wire = Wire()
    calls = batcher(wire)
    first = await hold(wire, calls)
    others = await ask_all(calls, "a", "b")
    wire.failure = asyncio.CancelledError()
    wire.gate.set()
    answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ShardUnavailable] * 3


async def test_a_task_that_is_cancelled_sends_nothing_more_and_leaves_nobody_waiting() -> None:
    wire = Wire()
    calls = batcher(wire)
    first = await hold(wire, calls)
    others = await ask_all(calls, "a", "b")
    [task] = calls._calls
    task.cancel()
    async with asyncio.timeout(2):
        answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ShardUnavailable] * 3
    assert task.cancelled()
    assert wire.batches == [["first"]]


@pytest.mark.parametrize("answers", [[], ["a"], ["a", "b", "c"]])
async def test_too_few_or_too_many_answers_are_nobody_s(answers: list[str]) -> None:
    entered = asyncio.Event()
    gate = asyncio.Event()

    async def send(items: list[str]) -> Sequence[str | VectorayError]:
        entered.set()
        await gate.wait()
        return items if items == ["first"] else answers

    calls = Batcher[str, str](send, timeout_s=10)
    first = asyncio.create_task(calls.ask("first"))
    await entered.wait()
    others = await ask_all(calls, "x", "y")
    gate.set()
    async with asyncio.timeout(2):
        assert await first == "first"
        got = await asyncio.gather(*others, return_exceptions=True)
    assert [type(answer) for answer in got] == [InternalError] * 2


async def test_a_figure_that_cannot_be_taken_fails_requests_at_once() -> None:
    def observe(_requests: int) -> None:
        raise ValueError

    async def send(items: list[str]) -> Sequence[str | VectorayError]:
        return items

    async with asyncio.timeout(2):
        with pytest.raises(InternalError):
            await Batcher[str, str](send, timeout_s=10, observe=observe).ask("a")


async def test_whoever_leaves_makes_room_for_others_at_once() -> None:
    wire = Wire()
    calls = batcher(wire, waiting=2)
    first = await hold(wire, calls)
    gone = await ask_all(calls, "a", "b")
    for task in gone:
        task.cancel()
    await asyncio.wait(gone)
    assert calls.waiting == 0
    late = await ask_all(calls, "c", "d")
    wire.gate.set()
    assert await asyncio.gather(first, *late) == ["first", "c", "d"]


async def test_whoever_leaves_before_the_call_is_not_sent_and_takes_nobody_along() -> None:
    wire = Wire()
    calls = batcher(wire)
    first = await hold(wire, calls)
    gone, stays = await ask_all(calls, "gone", "stays")
    gone.cancel()
    wire.gate.set()
    assert await first == "first"
    assert await stays == "stays"
    assert wire.batches == [["first"], ["stays"]]


async def test_whoever_leaves_during_the_call_takes_nobody_along() -> None:
    wire = Wire()
    calls = batcher(wire)
    first = await hold(wire, calls)
    later = await ask_all(calls, "a")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    wire.gate.set()
    assert await later[0] == "a"


async def test_a_request_fails_when_its_time_is_up_while_another_still_waits() -> None:
    wire = Wire()
    calls = batcher(wire, timeout_s=0.05)
    await_first = await hold(wire, calls)
    with pytest.raises(ShardUnavailable, match=r"within 0\.05 s"):
        await calls.ask("late")
    with pytest.raises(ShardUnavailable):
        await await_first
    wire.gate.set()
    assert await calls.ask("next") == "next"
    assert wire.batches == [["first"], ["next"]]


async def test_more_than_may_wait_are_refused_at_once() -> None:
    wire = Wire()
    calls = batcher(wire, waiting=2)
    first = await hold(wire, calls)
    others = await ask_all(calls, "a", "b")
    with pytest.raises(Overloaded):
        await calls.ask("c")
    wire.gate.set()
    assert await asyncio.gather(first, *others) == ["first", "a", "b"]


async def test_a_call_runs_in_no_request_s_context() -> None:
    """Ray Serve keeps the request in a context variable, and cancels the calls of a cancelled one."""
    request = contextvars.ContextVar("request", default="none")
    seen: list[str] = []

    async def send(items: list[str]) -> Sequence[str | VectorayError]:
        seen.append(request.get())
        return items

    request.set("mine")
    assert await Batcher[str, str](send, timeout_s=10).ask("a") == "a"
    assert seen == ["none"]
