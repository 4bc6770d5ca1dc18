"""Processes that turn uploads and URLs into points, as a Ray Serve deployment. Knows not how they do it."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import ray.serve
import structlog

from cluster.logs import configure_logs
from cluster.metrics import Sampling
from cluster.remote import RemoteDeployment
from cluster.settings import ClusterSettings
from vectoray.core.errors import VectorayError

_log = structlog.get_logger(__name__)

_NAME = "ingestor"
_WAKE_TIMEOUT_S = 5.0


class Ingestor(Protocol):
    """What works in the process."""

    @property
    def idle_s(self) -> float:
        """Seconds since it last looked for work."""

    def wake(self) -> None:
        """Look for work at once."""

    def sample(self) -> None:
        """Set gauges."""

    async def close(self) -> None:
        """Give all work back, and stop."""


class IngestorReplica:
    """A process that works from its start to its end; calls only wake it."""

    def __init__(self, begin: Callable[[], Awaitable[Ingestor]], stuck_s: float) -> None:
        configure_logs()
        self._stuck_s = stuck_s
        loop = asyncio.get_running_loop()
        # In a context of its own, which no request can cancel.
        self._beginning = loop.create_task(_begun(begin), context=contextvars.Context())
        self._sampling: Sampling | None = None

    async def wake(self) -> None:
        """Look for work at once."""
        if self._beginning.done():
            self._beginning.result().wake()

    async def check_health(self) -> None:
        """Called by Ray Serve, which replaces a replica that fails it.

        Raises:
            RuntimeError: It could not begin, or has not looked for work for too long.
        """
        if not self._beginning.done():
            return
        ingestor = self._beginning.result()
        if self._sampling is None:
            self._sampling = Sampling("ingestor", ingestor.sample)
        if ingestor.idle_s > self._stuck_s:
            _log.error("ingestor_stuck", idle_s=round(ingestor.idle_s, 1))
            raise RuntimeError("The ingestor does not look for work any more.")

    async def __del__(self) -> None:
        """Called by Ray Serve when the replica is stopped in an orderly way."""
        if self._sampling is not None:
            self._sampling.close()
        self._beginning.cancel()
        await asyncio.wait([self._beginning])
        if not self._beginning.cancelled() and self._beginning.exception() is None:
            await self._beginning.result().close()


async def _begun(begin: Callable[[], Awaitable[Ingestor]]) -> Ingestor:
    try:
        return await begin()
    except Exception:
        _log.exception("ingestor_not_begun")
        raise


def ingestor_app(begin: Callable[[], Awaitable[Ingestor]], cluster: ClusterSettings) -> Any:
    """The Ray Serve application of the ingestors.

    Args:
        begin: Makes what works, in the ingestor's process and event loop.
        cluster: How many there are.
    """
    deployment = ray.serve.deployment(
        name=_NAME,
        num_replicas=cluster.ingestors,
        max_ongoing_requests=64,
        # A call too many is no loss: they look by themselves.
        max_queued_requests=64,
        health_check_period_s=5,
        health_check_timeout_s=15,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=20,
        # Ray Serve would write a line for each call.
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
        ray_actor_options={"num_cpus": 0},
    )(IngestorReplica)
    return deployment.bind(begin, cluster.stuck_ingestor_s)


class RemoteIngestors:
    """The deployed ingestors, for a process that has joined Ray."""

    def __init__(self) -> None:
        self._remote = RemoteDeployment(_NAME, timeout_s=_WAKE_TIMEOUT_S)
        self._waking: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Have one of them look for work at once, if that can be; they look by themselves soon anyway."""
        if self._waking:
            return
        # In a context of its own: Ray Serve cancels what inherits a cancelled request's.
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._wake(), context=contextvars.Context())
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def _wake(self) -> None:
        try:
            await self._remote.call("wake")
        except VectorayError as error:
            _log.info("ingestors_not_woken", reason=error.message)
