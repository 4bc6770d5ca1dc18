"""Optimizes shards in threads of its own, for callers that do not wait."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import structlog

from storage.graph import BuildStoppedError
from storage.writer import ShardWriter
from vectoray.core.errors import Unavailable

_log = structlog.get_logger(__name__)

# A graph has several threads to build it. Two shards at a time, so that one that is written to without a
# pause, whose optimization goes on as long, is not in the way of all others.
_THREADS = 2


class Optimizations:
    """Those that wait or are under way in this process. For one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="shard-optimize")
        self._begun: dict[Path, Future[None]] = {}

    def begin(self, writer: ShardWriter) -> None:
        """Optimize a shard as soon as there is a thread, unless that is asked for already."""
        begun = self._begun.get(writer.directory)
        if begun is not None and not begun.done():
            return
        self._begun = {key: one for key, one in self._begun.items() if not one.done()}
        self._begun[writer.directory] = self._threads.submit(_optimize, writer)

    def close(self) -> None:
        """Give up what waits, and wait for the rest, which ends soon once its shards are closed."""
        self._threads.shutdown(cancel_futures=True)


def _optimize(writer: ShardWriter) -> None:
    try:
        writer.optimize()
    except (BuildStoppedError, Unavailable):
        _log.info("shard_optimization_stopped")
    except BaseException:  # noqa: BLE001  (a panic of a Rust library is no Exception; nobody waits to be told)
        _log.exception("shard_not_optimized")
