"""Hosts are asked no faster, and no more at a time, than the settings say."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from pipelines.fetch import hosts
from pipelines.fetch.hosts import Hosts
from tests.unit.pipelines.fetch.conftest import Waits, settings


class Crowd:
    """Takes turns, all at once, and counts how many have one."""

    def __init__(self, **changes: Any) -> None:
        self.hosts = Hosts(settings(**changes), asyncio.sleep)
        self.now: dict[str, int] = {}
        self.most = 0
        self.most_of_one = 0
        self.leave = asyncio.Event()

    async def take(self, name: str) -> None:
        async with self.hosts.turn(name, delay_s=0):
            self.now[name] = self.now.get(name, 0) + 1
            self.most = max(self.most, sum(self.now.values()))
            self.most_of_one = max(self.most_of_one, self.now[name])
            await asyncio.sleep(0)
            self.now[name] -= 1


async def test_no_more_are_under_way_than_allowed() -> None:
    crowd = Crowd(max_in_flight=5, max_in_flight_per_host=2)
    await asyncio.gather(*(crowd.take(f"{number % 4}.example") for number in range(40)))
    assert crowd.most == 5


async def test_no_more_are_under_way_at_one_host_than_allowed() -> None:
    crowd = Crowd(max_in_flight=5, max_in_flight_per_host=2)
    await asyncio.gather(*(crowd.take("a.example") for _ in range(10)))
    assert crowd.most_of_one == 2


async def test_a_hosts_queue_keeps_no_other_host_waiting(opened: AsyncExitStack) -> None:
    places = Hosts(settings(max_in_flight=2, max_in_flight_per_host=1), asyncio.sleep)
    await opened.enter_async_context(places.turn("slow.example", delay_s=0))
    queue = [asyncio.ensure_future(places.turn("slow.example", delay_s=0).__aenter__()) for _ in range(5)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5), places.turn("quick.example", delay_s=0):
        assert not any(waiting.done() for waiting in queue)
    for waiting in queue:
        waiting.cancel()
    await asyncio.gather(*queue, return_exceptions=True)


async def test_starts_keep_their_distance() -> None:
    waits = Waits()
    places = Hosts(settings(max_in_flight_per_host=9), waits)
    for _ in range(4):
        async with places.turn("a.example", delay_s=2):
            pass
    assert waits.seconds == [pytest.approx(seconds, abs=0.5) for seconds in (2, 4, 6)]
    waits.seconds.clear()
    async with places.turn("b.example", delay_s=2):
        pass
    assert waits.seconds == []


async def test_who_is_cancelled_gives_its_place_back() -> None:
    places = Hosts(settings(max_in_flight=1, max_in_flight_per_host=1), asyncio.sleep)
    first = asyncio.create_task(hold(places))
    second = asyncio.create_task(hold(places))
    await asyncio.sleep(0)
    for task in (first, second):
        task.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    async with asyncio.timeout(5), places.turn("a.example", delay_s=0):
        pass


async def test_hosts_that_are_done_with_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_MAX_HOSTS", 10)
    places = Hosts(settings(), asyncio.sleep)
    places.hold_off("busy.example", 1000)
    async with places.turn("held.example", delay_s=0):
        for number in range(100):
            async with places.turn(f"{number}.example", delay_s=0):
                pass
        assert len(places._hosts) <= 11
        assert {"busy.example", "held.example"} <= places._hosts.keys()


async def hold(places: Hosts) -> None:
    async with places.turn("a.example", delay_s=0):
        await asyncio.Event().wait()
