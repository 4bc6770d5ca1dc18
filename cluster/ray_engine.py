"""The engine over shard hosts on Ray: what gateways and pipelines use."""

from cluster.settings import ClusterSettings
from cluster.shard_host import RemoteShardHost
from cluster.sharded_engine import ShardedEngine


class RayEngine(ShardedEngine):
    """An `cluster.engine.Engine` over the deployed shard hosts. Needs a process that has joined Ray."""

    def __init__(self, settings: ClusterSettings) -> None:
        super().__init__(
            [
                RemoteShardHost(number, timeout_s=settings.shard_timeout_s)
                for number in range(settings.shard_hosts)
            ]
        )
