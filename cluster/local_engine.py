"""The engine with all shards in this process: for tests, scripts and embedding."""

from pathlib import Path

from cluster.event_publisher import EventPublisher
from cluster.sharded_engine import ShardedEngine
from cluster.shards import OpenShards
from storage.settings import StorageSettings


class LocalEngine(ShardedEngine):
    """An `cluster.engine.Engine` over one data folder."""

    def __init__(
        self,
        data_dir: Path,
        settings: StorageSettings | None = None,
        publisher: EventPublisher | None = None,
    ) -> None:
        """Make it, as `cluster.shards.OpenShards`."""
        self._shards = OpenShards(data_dir, settings or StorageSettings(), publisher)
        super().__init__([self._shards])

    async def catch_up(self) -> bool:
        """As `cluster.shards.OpenShards.catch_up`: once, after it is made."""
        return await self._shards.catch_up()
