"""Counters of hits: in windows, in bounded memory, shared by a Redis or not when it is silent."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from serve.hit_counters import Allowance, HitCounters
from serve.memory_windows import MemoryWindows

TWO = Allowance("reading", 2, window_s=60)


async def allowed(counters: HitCounters, who: str = "ann", allowance: Allowance = TWO) -> bool:
    return await counters.hit(allowance, who) is None


async def test_so_many_are_allowed_and_no_more_until_the_window_ends() -> None:
    counters = HitCounters()
    with patch("time.time", return_value=1000.0):
        assert [await allowed(counters) for _ in range(3)] == [True, True, False]
    with patch("time.time", return_value=1050.5):
        assert await counters.hit(TWO, "ann") == 10
    with patch("time.time", return_value=1060.0):
        assert await allowed(counters)


async def test_names_and_people_are_counted_apart() -> None:
    counters = HitCounters()
    one = Allowance("reading", 1)
    assert await allowed(counters, "ann", one)
    assert await allowed(counters, "bob", one)
    assert await allowed(counters, "ann", Allowance("writing", 1))
    assert not await allowed(counters, "ann", one)


async def test_who_is_forgotten_begins_anew() -> None:
    counters = HitCounters()
    for _ in range(2):
        await allowed(counters)
    await counters.forget(TWO, "ann")
    assert await allowed(counters)


async def test_windows_that_have_ended_are_not_kept() -> None:
    windows = MemoryWindows()
    with patch("time.time", return_value=1000.0):
        for number in range(10):
            await windows.incr(str(number), 60)
    with patch("time.time", return_value=1061.0):
        await windows.incr("new", 60)
        assert await windows.get("0") == 0
    assert await windows.reset() == 1


async def test_there_are_never_more_counters_than_there_may_be() -> None:
    windows = MemoryWindows(most_counters=3)
    for number in range(9):
        await windows.incr(str(number), 60)
    assert [await windows.get(str(number)) for number in range(9)] == [0] * 6 + [1] * 3


async def test_a_redis_that_does_not_answer_takes_no_service_away() -> None:
    silent = asyncio.Event()

    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await _counts_by_itself(f"redis://127.0.0.1:{port}/0")
    silent.set()
    server.close()
    await server.wait_closed()


async def test_a_redis_that_is_not_there_takes_no_service_away() -> None:
    await _counts_by_itself("redis://127.0.0.1:1/0")


async def _counts_by_itself(url: str) -> None:
    counters = HitCounters(url)
    with capture_logs() as logs:
        assert [await allowed(counters) for _ in range(3)] == [True, True, False]
        await counters.forget(TWO, "ann")
        assert await allowed(counters)
    # The second hit did not ask again.
    assert [entry["event"] for entry in logs] == ["rate_limits_not_shared"]
    assert "127.0.0.1" not in repr(logs)
    await counters.close()


@pytest.fixture
async def redis_url() -> AsyncIterator[str]:
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("needs redis-server on the PATH")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = await asyncio.create_subprocess_exec(
        program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    while b"eady to accept connections" not in await server.stdout.readline():
        pass
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    await server.communicate()


async def test_gateways_count_together_in_a_redis(redis_url: str) -> None:
    one, other = HitCounters(redis_url), HitCounters(redis_url)
    assert [await allowed(counters) for counters in (one, other, one)] == [True, True, False]
    wait_s = await other.hit(TWO, "ann")
    assert wait_s in range(1, 61)
    await other.forget(TWO, "ann")
    assert await allowed(one)
    for counters in (one, other):
        await counters.close()
