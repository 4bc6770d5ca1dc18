"""The engine with all shards in this process: for tests, scripts and embedding."""

from pathlib import Path

from cluster.sharded_engine import ShardedEngine
from cluster.shards import OpenShards
from storage.settings import StorageSettings


class LocalEngine(ShardedEngine):
    """An `cluster.engine.Engine` over one data folder."""

    def __init__(self, data_dir: Path, settings: StorageSettings | None = None) -> None:
        super().__init__([OpenShards(data_dir, settings or StorageSettings())])
