"""What is measured here, and how any package measures: through Ray's exporter, where there is a Ray.

A value costs about 3 µs. Without a Ray in the process, as in unit tests, values are passed over.
"""

import asyncio
import contextvars
import itertools
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import psutil
import structlog

_log = structlog.get_logger(__name__)

_SAMPLE_EVERY_S = 5.0
# To measure every stage of every request would take longer than some of them.
_EVERY_NTH = 8
# From a cached read to the longest deadline.
SECONDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
)


class _Metric:
    """A metric of Ray that is made when its first value comes: before Ray is joined there can be none."""

    def __init__(self, kind: str, name: str, description: str, tags: Sequence[str], **options: Any) -> None:
        self._make: Callable[[], Any] = lambda: getattr(import_module("ray.util.metrics"), kind)(
            name, description=description, tag_keys=tuple(tags), **options
        )
        self._made: Any = None

    def _metric(self) -> Any:
        if self._made is None:
            # Not imported here: Ray reads its environment then, which is set by whoever wants a Ray.
            ray = sys.modules.get("ray")
            if ray is not None and ray.is_initialized():
                self._made = self._make()
        return self._made


class Histogram(_Metric):
    """How values are spread; it counts them as well."""

    def __init__(
        self, name: str, description: str, tags: Sequence[str] = (), *, boundaries: Sequence[float] = SECONDS
    ) -> None:
        """Declare it.

        Args:
            name: ``vectoray_<noun>_<unit>``.
            description: For people.
            tags: Names of its labels; few values each.
            boundaries: Upper ends of the buckets.
        """
        super().__init__("Histogram", name, description, tags, boundaries=list(boundaries))

    def observe(self, value: float, tags: dict[str, str] | None = None) -> None:
        """Take in one value."""
        metric = self._metric()
        if metric is not None:
            metric.observe(value, tags)


class Gauge(_Metric):
    """A value that goes up and down."""

    def __init__(self, name: str, description: str, tags: Sequence[str] = ()) -> None:
        """Declare it, as a `Histogram`."""
        super().__init__("Gauge", name, description, tags)

    def set(self, value: float, tags: dict[str, str] | None = None) -> None:
        """Say the value now."""
        metric = self._metric()
        if metric is not None:
            metric.set(value, tags)


class Stage:
    """A part of what a request goes through."""

    def __init__(self, name: str) -> None:
        """Name it: decode, plan, embed, search, merge or encode."""
        self._tags = {"stage": name}
        self._passed = itertools.cycle([*[False] * (_EVERY_NTH - 1), True])

    def done(self, since_s: float) -> float:
        """Measure what began at ``since_s`` of `time.perf_counter`. Returns what that says now."""
        now_s = time.perf_counter()
        if next(self._passed):
            STAGE_SECONDS.observe(now_s - since_s, self._tags)
        return now_s


STAGE_SECONDS = Histogram(
    "vectoray_stage_seconds",
    "Seconds that a request spends in one stage (decode, plan, embed, search, merge, encode); of every "
    f"{_EVERY_NTH}th time that it does.",
    ("stage",),
)
DECODE, PLAN, EMBED = Stage("decode"), Stage("plan"), Stage("embed")
SEARCH, MERGE, ENCODE = Stage("search"), Stage("merge"), Stage("encode")
BATCH_REQUESTS = Histogram(
    "vectoray_batch_requests",
    "Requests that went together in one call to a shard host or to the embedding model.",
    ("kind",),
    boundaries=(1, 2, 4, 8, 16, 32, 64, 128),
)
WAITING_REQUESTS = Gauge(
    "vectoray_waiting_requests",
    "Requests that wait for a call to a shard host or for the embedding model.",
    ("kind",),
)
LAG_WRITES = Gauge(
    "vectoray_generation_lag_writes", "Writes that the readers of a gateway have not taken in yet, at most."
)
OPEN_COLLECTIONS = Gauge("vectoray_open_collections", "Collections whose files a gateway keeps open.")
SHARDS = Gauge("vectoray_open_shards", "Shards that a shard host has open.")
SEGMENTS = Gauge("vectoray_segments", "Segments of the open shards.")
POINTS = Gauge("vectoray_points", "Live points of the open shards.")
UNSEALED_ROWS = Gauge("vectoray_unsealed_rows", "Rows that are searched one by one, in no segment yet.")
UNPUBLISHED_WRITES = Gauge(
    "vectoray_unpublished_writes", "Writes that wait in the memory of a shard host for becoming events."
)
MEMORY_BYTES = Gauge(
    "vectoray_process_memory_bytes",
    "Memory of a process, its part of what it shares with others included.",
    ("role",),
)


class Sampling:
    """Takes samples of a process's state every few seconds, until it is closed. For one event loop."""

    def __init__(self, role: str, sample: Callable[[], None]) -> None:
        """Begin.

        Args:
            role: What the process is: gateway, shard-host or embedder.
            sample: Sets gauges; called in the event loop.
        """
        self._role, self._sample = role, sample
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), context=contextvars.Context())

    def close(self) -> None:
        """Stop."""
        self._task.cancel()

    async def _run(self) -> None:
        process = psutil.Process(os.getpid())
        while True:
            try:
                self._sample()
                memory = await asyncio.to_thread(process.memory_full_info)
                MEMORY_BYTES.set(memory.pss, {"role": self._role})
            except Exception:  # noqa: BLE001  (a figure that is missing stops nothing)
                _log.exception("sample_failed", role=self._role)
            await asyncio.sleep(_SAMPLE_EVERY_S)
