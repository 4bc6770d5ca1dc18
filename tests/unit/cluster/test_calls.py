"""Calls that come to a shard host together, and writes that do not come through."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cluster.calls import Call, answer_calls, decode_answers, encode_calls
from cluster.shards import OpenShards
from storage.log import WriteLog
from tests.unit.cluster.conftest import QUIET, collection_of, vectors_of, write_of
from vectoray.core.errors import InternalError, ShardUnavailable
from vectoray.core.model import SearchQuery, WriteResult

DOCS = collection_of(2)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[OpenShards]:
    host = OpenShards(tmp_path, QUIET)
    await host.create(DOCS, [0, 1])
    yield host
    await host.close()


async def answer(host: OpenShards, *calls: Call) -> list[Any]:
    return list(decode_answers(await answer_calls(host, encode_calls(calls))))


def write(point_id: str, shard: int = 0, within_s: float = 10) -> Call:
    return Call("write", (DOCS, {shard: write_of([point_id])}), within_s)


def hold_appends(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Let every write to a log wait. Returns what is set when one does, and what lets them go on."""
    stuck, released = threading.Event(), threading.Event()
    append = WriteLog.append

    def held(log: WriteLog, records: Any) -> None:
        stuck.set()
        released.wait()
        append(log, records)

    monkeypatch.setattr(WriteLog, "append", held)
    return stuck, released


async def test_calls_that_come_together_are_answered_in_order_each_by_itself(
    host: OpenShards,
) -> None:
    query = SearchQuery(vectors_of(1)[0])
    missing = collection_of(1, number=9)
    written, found, lost, broken = await answer(
        host,
        write("a"),
        Call("search", (DOCS, [0, 1], query), 10),
        Call("search", (missing, [0], query), 10),
        Call("search", (DOCS, [0], None), 10),
    )
    assert written == {0: WriteResult(1)}
    assert len(found) <= 1
    assert isinstance(lost, ShardUnavailable)
    assert isinstance(broken, InternalError)
    assert "None" not in broken.message
    [point] = (await answer(host, Call("get", (DOCS, {0: ["a"]}), 10)))[0]
    assert point.id == "a"


async def test_writes_that_come_together_share_a_commit(
    host: OpenShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended: list[int] = []
    append = WriteLog.append

    def counted(log: WriteLog, records: Any) -> None:
        appended.append(len(records))
        append(log, records)

    await answer(host, Call("stats", ([(DOCS, [0])],), 10))
    monkeypatch.setattr(WriteLog, "append", counted)
    assert await answer(host, *(write(f"p{number}") for number in range(40))) == [{0: WriteResult(1)}] * 40
    assert sum(appended) == 40
    assert len(appended) <= 3


async def test_a_host_says_for_how_long_its_writes_have_not_come_through(
    host: OpenShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await answer(host, write("a"))) == [{0: WriteResult(1)}]
    assert host.stuck_s == 0
    stuck, released = hold_appends(monkeypatch)
    waiting = asyncio.create_task(answer(host, write("b")))
    await asyncio.to_thread(stuck.wait)
    first = host.stuck_s
    await asyncio.sleep(0.02)
    assert host.stuck_s >= first + 0.02
    released.set()
    assert await waiting == [{0: WriteResult(1)}]
    assert host.stuck_s == 0


async def test_a_call_that_nobody_waits_for_any_longer_is_given_up(
    host: OpenShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await answer(host, write("a"))) == [{0: WriteResult(1)}]
    stuck, released = hold_appends(monkeypatch)
    first = asyncio.create_task(answer(host, write("b")))
    await asyncio.to_thread(stuck.wait)
    # It waits behind the first one, and never begins.
    try:
        async with asyncio.timeout(5):
            [late] = await answer(host, write("c", within_s=0.01))
    finally:
        released.set()
    assert isinstance(late, ShardUnavailable)
    assert await first == [{0: WriteResult(1)}]
    assert [point.id for point in (await answer(host, Call("get", (DOCS, {0: ["b", "c"]}), 10)))[0]] == ["b"]
