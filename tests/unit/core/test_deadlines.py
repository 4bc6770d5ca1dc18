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
    call_at = loop.call_at

    def counted(*arguments: object, **options: object) -> object:
        timers.append(arguments)
        return call_at(*arguments, **options)  # type: ignore[arg-type]

    loop.call_at = counted  # type: ignore[assignment,method-assign]
    try:
        for _ in range(1000):
            with deadlines.limit():
                pass
    finally:
        loop.call_at = call_at  # type: ignore[method-assign]
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


@pytest.mark.parametrize("deadline_comes_first", [False, True])
async def test_who_cancels_the_task_from_outside_is_not_told_of_a_timeout(
    *, deadline_comes_first: bool
) -> None:
    deadlines = Deadlines(0.05)

    async def work() -> None:
        with deadlines.limit():
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    if deadline_comes_first:
        asyncio.get_running_loop().call_later(0.051, task.cancel)
    # Both are late, and so come before the task runs again.
    time.sleep(0.07)  # noqa: ASYNC251
    if not deadline_comes_first:
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


async def test_one_that_fails_to_expire_does_not_hold_up_the_others() -> None:
    loop, deadlines, expired = asyncio.get_running_loop(), Deadlines(0.05), asyncio.Event()
    told: list[object] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    failure = RuntimeError("no")

    def fail() -> None:
        raise failure

    deadlines.start(fail)
    deadlines.start(expired.set)
    try:
        async with asyncio.timeout(2):
            await expired.wait()
    finally:
        loop.set_exception_handler(None)
    assert told == [failure]


async def test_many_that_expire_together_take_no_time() -> None:
    deadlines, expired = Deadlines(0.05), 0

    def note() -> None:
        nonlocal expired
        expired += 1

    for _ in range(50_000):
        deadlines.start(note)
    time.sleep(0.06)  # noqa: ASYNC251  (so that they are late together)
    began_s = time.perf_counter()
    while not expired:  # noqa: ASYNC110  (of the loop itself)
        await asyncio.sleep(0)
    assert expired == 50_000
    assert time.perf_counter() - began_s < 0.2


async def test_one_that_is_restarted_has_the_whole_time_again() -> None:
    began_s = time.monotonic()

    async def restarted() -> None:
        with Deadlines(0.2).limit() as limit:
            await asyncio.sleep(0.1)
            limit.restart()
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        await restarted()
    assert 0.3 <= time.monotonic() - began_s < 0.4


async def test_one_that_is_lifted_is_not_restarted() -> None:
    with Deadlines(0.05).limit() as limit:
        limit.lift()
        limit.restart()
        await asyncio.sleep(0.1)
    assert not limit.expired
