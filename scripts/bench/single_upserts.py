"""Row: many callers write one point each and wait until it is durable."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.bench.context import Context
from scripts.bench.fsyncs import FsyncCount, count_fsyncs
from scripts.bench.measurement import Figure, Latencies, Measurement
from scripts.bench.shards import one_point, open_shard
from scripts.bench.table import number
from storage import shard
from storage.writer import ShardWriter
from vectoray.core.model import PointBatch

_ROWS = 200_000
_CALLERS = 64
_WARM_UP_S, _MEASURED_S = 1.0, 6.0
_REQUIRED = 3000.0


@dataclass(slots=True)
class _Calls:
    """Upserts, as their callers saw them."""

    ended_s: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    undurable: int = 0

    def add(self, began_s: float, fsyncs_before: int, count: FsyncCount) -> None:
        # What was handed over after the fsync of a group began is in none of the groups so far.
        self.undurable += count.finished <= fsyncs_before
        self.ended_s.append(time.perf_counter())
        self.seconds.append(self.ended_s[-1] - began_s)


@dataclass(frozen=True, slots=True)
class _Found:
    callers: str
    rate: float
    latencies: Latencies
    acknowledged: int
    undurable: int
    fsyncs: FsyncCount

    @property
    def rows_per_group(self) -> float:
        return self.acknowledged / max(1, self.fsyncs.finished)

    def __str__(self) -> str:
        return (
            f"{self.callers}: {number(self.rate)} /s, {Latencies(self.latencies.seconds)}, "
            f"{self.rows_per_group:.1f} rows for each fsynced file, {len(self.fsyncs.seconds)} fsyncs of "
            f"{Latencies(self.fsyncs.seconds)}"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "rate_per_s": self.rate,
            "latency": self.latencies.to_json(),
            "acknowledged": self.acknowledged,
            "acknowledged_without_fsync": self.undurable,
            "rows_per_group": self.rows_per_group,
            "fsync": Latencies(self.fsyncs.seconds).to_json(),
            "other_fsyncs": dict(self.fsyncs.others),
        }


def measure_single_upserts(context: Context) -> Measurement:
    """64 threads, then 64 asyncio tasks, each on a new shard; the better of the two counts."""
    corpus = context.corpus(_ROWS)
    rows = context.scaled(_ROWS)
    points = one_point(corpus.batch(0, rows))
    found = []
    for name, drive in (("64 threads", _threads), ("64 asyncio tasks", _tasks)):
        directory = context.work / name.replace(" ", "-")
        with (
            count_fsyncs(directory / shard.LOG) as count,
            open_shard(directory, corpus.vectors.shape[1]) as writer,
        ):
            began_s = time.perf_counter()
            calls = drive(writer, points, count)
            found.append(_summary(name, calls, began_s, count))
    best = max(found, key=lambda one: one.rate)
    undurable = sum(one.undurable for one in found)
    return Measurement(
        "single-upserts",
        (
            Figure(f"single upserts, durable, {best.callers}", _REQUIRED, best.rate, "/s"),
            Figure("... acknowledged before an fsync", 0, undurable, "", at_most=True),
        ),
        (*map(str, found), f"after {_WARM_UP_S:g} s of warm-up, for {_MEASURED_S:g} s, on a new shard each"),
        {one.callers: one.to_json() for one in found},
    )


def _summary(name: str, calls: Sequence[_Calls], began_s: float, count: FsyncCount) -> _Found:
    ended_s = [ended for one in calls for ended in one.ended_s]
    seconds = [taken for one in calls for taken in one.seconds]
    # Where the points ran out before the time did, the rate is over the time they lasted.
    first_s = began_s + _WARM_UP_S
    last_s = min(max(ended_s, default=first_s), first_s + _MEASURED_S)
    within = [taken for ended, taken in zip(ended_s, seconds, strict=True) if first_s <= ended <= last_s]
    return _Found(
        callers=name,
        rate=len(within) / max(last_s - first_s, 1e-9),
        latencies=Latencies(within),
        acknowledged=len(ended_s),
        undurable=sum(one.undurable for one in calls),
        fsyncs=count,
    )


def _shared(points: Sequence[PointBatch]) -> Callable[[], PointBatch | None]:
    """Hands out each point once, to any thread, until the time is over."""
    until_s = time.perf_counter() + _WARM_UP_S + _MEASURED_S
    rest: Iterator[PointBatch] = iter(points)

    def take() -> PointBatch | None:
        return next(rest, None) if time.perf_counter() < until_s else None

    return take


def _threads(writer: ShardWriter, points: Sequence[PointBatch], count: FsyncCount) -> list[_Calls]:
    take = _shared(points)
    calls = [_Calls() for _ in range(_CALLERS)]

    def call(mine: _Calls) -> None:
        while (point := take()) is not None:
            began_s, before = time.perf_counter(), count.started
            writer.upsert(point).result()
            mine.add(began_s, before, count)

    threads = [threading.Thread(target=call, args=(mine,)) for mine in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return calls


def _tasks(writer: ShardWriter, points: Sequence[PointBatch], count: FsyncCount) -> list[_Calls]:
    take = _shared(points)
    calls = [_Calls() for _ in range(_CALLERS)]

    async def call(mine: _Calls) -> None:
        while (point := take()) is not None:
            began_s, before = time.perf_counter(), count.started
            await asyncio.wrap_future(writer.upsert(point))
            mine.add(began_s, before, count)

    async def all_of_them() -> None:
        await asyncio.gather(*map(call, calls))

    asyncio.run(all_of_them())
    return calls
