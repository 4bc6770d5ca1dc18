"""When a gateway is to end, as Ray Serve says it."""

import asyncio
from typing import Any

from structlog.testing import capture_logs

from cluster.draining import Draining


class Replica:
    """What Ray Serve answers about itself: these statuses, the last one for ever."""

    def __init__(self, *statuses: int | Exception) -> None:
        self.asked: list[Any] = []
        self._statuses = list(statuses)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        if isinstance(status, Exception):
            raise status
        assert (await receive())["type"] == "http.request"
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"DRAINING"})


async def test_it_has_begun_when_the_replica_is_not_well() -> None:
    replica = Replica(200, 200, 503)
    draining = Draining(replica, every_s=0.001)
    assert not replica.asked
    async with asyncio.timeout(10):
        await asyncio.gather(draining.begun(), draining.begun())
        await draining.begun()
    assert replica.asked == ["/-/healthz"] * 3


async def test_one_who_waits_no_more_leaves_the_others_waiting() -> None:
    replica = Replica(200, 200, 503)
    draining = Draining(replica, every_s=0.01)
    first, second = asyncio.create_task(draining.begun()), asyncio.create_task(draining.begun())
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(10):
        await second
    assert first.cancelled()


async def test_a_question_that_fails_ends_nothing() -> None:
    with capture_logs() as logs:
        async with asyncio.timeout(10):
            await Draining(Replica(RuntimeError("other"), 503), every_s=0.001).begun()
    assert [line["event"] for line in logs] == ["gateway_not_asked_whether_it_ends"]
