"""Deadlines that share one timer."""

import asyncio
import time

import pytest

from vectoray.core.deadlines import Deadlines

pytestmark = pytest.mark.asyncio


async def test_each_expires_at_its_own_time_and_in_order() -> None:
    deadlines, began_s = Deadlines(0.2), time.monotonic()
    expired: list[tuple[str, float]] = []

    def note(name: str) -> None:
        expired.append((name, time.monotonic() - began_s))

    deadlines.start(lambda: note("first"))
    await asyncio.sleep(0.1)
    deadlines.start(lambda: note("second"))
    stopped = deadlines.start(lambda: note("stopped"))
    deadlines.stop(stopped)
    deadlines.stop(stopped)
    await asyncio.sleep(0.35)
    assert [name for name, _ in expired] == ["first", "second"]
    for (_, at_s), expected_s in zip(expired, (0.2, 0.3), strict=True):
        assert expected_s <= at_s < expected_s + 0.08
    # After a rest it works as before.
    deadlines.start(lambda: note("third"))
    await asyncio.sleep(0.25)
    assert expired[-1][0] == "third"


async def test_many_that_end_in_time_leave_nothing_and_set_one_timer() -> None:
    loop, deadlines = asyncio.get_running_loop(), Deadlines(60)
    timers = []
    call_later = loop.call_later

    def counted(*arguments: object) -> object:
        timers.append(arguments)
        return call_later(*arguments)  # type: ignore[arg-type]

    loop.call_later = counted  # type: ignore[assignment,method-assign]
    try:
        for _ in range(1000):
            with deadlines.limit():
                pass
    finally:
        loop.call_later = call_later  # type: ignore[method-assign]
    assert len(timers) == 1
    assert not deadlines._running


async def test_a_block_that_takes_too_long_raises_timeout_and_its_task_goes_on() -> None:
    deadlines = Deadlines(0.05)
    with pytest.raises(TimeoutError), deadlines.limit() as limit:
        await asyncio.sleep(10)
    assert limit.expired
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_lifted_deadline_cancels_nothing() -> None:
    deadlines = Deadlines(0.05)
    with deadlines.limit() as limit:
        limit.lift()
        await asyncio.sleep(0.15)
    assert not limit.expired


async def test_who_cancels_the_task_from_outside_is_not_told_of_a_timeout() -> None:
    deadlines = Deadlines(0.05)

    async def work() -> None:
        with deadlines.limit():
            # Both happen before the task runs again.
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    time.sleep(0.06)  # noqa: ASYNC251  (that is the point)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_is_not_hidden_by_its_deadline() -> None:
    deadlines = Deadlines(0.05)

    async def work() -> None:
        with deadlines.limit():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                raise ValueError("the block's own") from None

    with pytest.raises(ValueError, match="own"):
        await work()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
