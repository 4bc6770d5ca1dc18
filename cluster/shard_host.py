"""A process of the cluster that owns shards, as a Ray Serve deployment."""

import asyncio
import contextvars
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray.serve
import structlog

from cluster.calls import answer_calls
from cluster.event_publisher import Publishing
from cluster.logs import configure_logs
from cluster.metrics import POINTS, SEGMENTS, SHARDS, UNPUBLISHED_WRITES, UNSEALED_ROWS, Sampling
from cluster.remote import this_node
from cluster.settings import ClusterSettings
from cluster.shards import OpenShards
from storage.settings import StorageSettings
from vectoray.core.model import Collection

_log = structlog.get_logger(__name__)


class ShardHostReplica(OpenShards):
    """What runs in the process.

    Ray Serve may start a successor while the old one still runs; the file lock of each shard decides which
    of them owns it.
    """

    def __init__(
        self, data_dir: Path, settings: StorageSettings, publishing: Publishing, *, stuck_owner_s: float
    ) -> None:
        configure_logs()
        self._events = publishing.begin()
        super().__init__(data_dir, settings, self._events)
        self._stuck_owner_s = stuck_owner_s
        self._catching_up: asyncio.Task[bool] | None = None
        self._sampling: Sampling | None = None

    async def open(self, collection: Collection, shards: Sequence[int]) -> str | None:
        """As `cluster.engine.ShardHost.open`."""
        await super().open(collection, shards)
        return this_node()

    async def answer(self, calls: bytes) -> bytes:
        """As `cluster.calls.answer_calls`."""
        return await answer_calls(self, calls)

    async def check_health(self) -> None:
        """Called by Ray Serve, which replaces a replica that fails it.

        Raises:
            RuntimeError: Writes have not come through for too long.
        """
        if self._sampling is None:
            self._sampling = Sampling("shard-host", self._sample)
        if self._catching_up is None or _failed(self._catching_up):
            self._catching_up = asyncio.create_task(self.catch_up(), context=contextvars.Context())
        if self.stuck_s > self._stuck_owner_s:
            _log.error("shard_owner_stuck", stuck_s=round(self.stuck_s, 1))
            raise RuntimeError("The writes of a shard do not reach the disk.")

    def _sample(self) -> None:
        heads = self.heads
        SHARDS.set(len(heads))
        SEGMENTS.set(sum(len(head.segments) for head in heads))
        POINTS.set(sum(head.points for head in heads))
        UNSEALED_ROWS.set(sum(head.tail_rows for head in heads))
        UNPUBLISHED_WRITES.set(self._events.waiting_writes)

    async def __del__(self) -> None:
        """Called by Ray Serve when the replica is stopped in an orderly way."""
        if self._sampling is not None:
            self._sampling.close()
        if self._catching_up is not None:
            self._catching_up.cancel()
        await self.close()


def _failed(task: asyncio.Task[bool]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None or not task.result())


def shard_host_name(number: int) -> str:
    """Name of a host's deployment and application."""
    return f"shard-host-{number}"


def shard_host_resource(number: int) -> str:
    """Name of the Ray resource that the node with a host's disk has."""
    return f"vectoray-{shard_host_name(number)}"


def shard_host_app(
    number: int, data_dir: Path, storage: StorageSettings, cluster: ClusterSettings, events: Publishing
) -> Any:
    """The Ray Serve application of one shard host."""
    pinned_to = {shard_host_resource(number): 0.001} if cluster.pin_shard_hosts else {}
    deployment = ray.serve.deployment(
        name=shard_host_name(number),
        num_replicas=1,
        max_ongoing_requests=cluster.shard_queue_length,
        max_queued_requests=cluster.shard_queue_length,
        health_check_period_s=2,
        # Three times in a row, and the host is replaced: after some twenty seconds.
        health_check_timeout_s=5,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=20,
        # Ray Serve would write a line for each call.
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
        ray_actor_options={"num_cpus": 0, "resources": pinned_to},
    )(ShardHostReplica)
    return deployment.bind(
        data_dir, storage, replace(events, host=number), stuck_owner_s=cluster.stuck_owner_s
    )
