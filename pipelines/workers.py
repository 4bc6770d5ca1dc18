"""What Ray workers of pipelines share: the engine of each process, and that they give way to the server."""

import os
from functools import cache
from pathlib import Path

from cluster.ray_engine import RayEngine
from cluster.settings import ClusterSettings
from pipelines.blocking_engine import BlockingEngine


@cache
def engine_of_worker(settings: ClusterSettings, data_dir: Path | None = None) -> BlockingEngine:
    """The engine of this Ray worker, made once however many tasks the worker runs.

    Args:
        settings: How to reach the shards.
        data_dir: The data folder of this node's shard hosts, if the worker is to use it.
    """
    return BlockingEngine(RayEngine(settings, data_dir=data_dir))


@cache
def give_way(niceness: int) -> None:
    """Let the processes that answer requests go before this Ray worker, and threads that it starts later."""
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
