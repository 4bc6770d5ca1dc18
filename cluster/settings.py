"""The cluster section of the settings."""

import os

from pydantic import BaseModel, ConfigDict, Field

from vectoray.embedding.device import DeviceChoice


class ClusterSettings(BaseModel):
    """How much Ray runs, and how long it may take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_cpus: int | None = Field(
        default=None,
        ge=1,
        description="CPUs that Ray may plan with; null means all of this machine.",
    )
    object_store_bytes: int = Field(
        default=200 * 2**20,
        ge=80 * 2**20,
        description="Bytes of shared memory for data on its way between Ray workers.",
    )
    dashboard_port: int = Field(
        default=8265,
        ge=1,
        le=65_535,
        description="Port of the Ray dashboard on 127.0.0.1; another free one is taken when it is busy.",
    )
    shards_per_collection: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Shards of a new collection. Fixed for the collection's life: it bounds how many hosts "
        "can share its work.",
    )
    shard_hosts: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Processes that own shards.",
    )
    pin_shard_hosts: bool = Field(
        default=False,
        description="Whether shard host N runs only where Ray has the resource 'vectoray-shard-host-N', that "
        "is on the node with its disk. Needed as soon as there is more than one node.",
    )
    shard_queue_length: int = Field(
        default=1024,
        ge=1,
        le=100_000,
        description="Reads, and writes, of one collection that may wait in one gateway for one shard host "
        "before more are refused as overload.",
    )
    stuck_owner_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Seconds. A shard host is replaced when its writes have been on their way to the disk "
        "for longer.",
    )
    shard_timeout_s: float = Field(
        default=15.0,
        gt=0,
        le=600,
        description="Seconds after which a shard that does not answer fails the request.",
    )
    ingestors: int = Field(
        default=1,
        ge=0,
        le=256,
        description="Processes that run ingestion jobs and fetch the URLs of projects; with 0, these wait.",
    )
    stuck_ingestor_s: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="Seconds. An ingestor is replaced when it has not looked for work for longer.",
    )
    gateway_replicas: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Processes that speak HTTP; null means one for each CPU, from 2 to 4.",
    )
    gateway_concurrency: int = Field(
        default=32,
        ge=1,
        le=100_000,
        description="Requests that one gateway works on at once; more wait in the proxy.",
    )
    gateway_streams: int = Field(
        default=1024,
        ge=1,
        le=1_000_000,
        description="Streams of events that one gateway has open at once; more wait in the proxy like "
        "requests. They do not count as requests that it works on.",
    )
    gateway_open_collections: int = Field(
        default=128,
        ge=1,
        le=100_000,
        description="Collections whose files one gateway keeps open; those not asked for longest are closed "
        "first.",
    )
    gateway_queue_length: int = Field(
        default=512,
        ge=1,
        le=100_000,
        description="Requests that may wait for the gateways before more are refused as overload.",
    )
    gateway_queue_timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=600,
        description="Seconds that a request may wait for a gateway before it is refused as overload.",
    )
    embedder_device: DeviceChoice = Field(
        default="auto",
        description="Where query texts are embedded: 'cpu' (OpenVINO), 'gpu' (torch), or 'auto', a GPU if "
        "Ray and torch see one.",
    )
    embedder_gpus: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="Part of a GPU that Ray sets aside for embedding queries when it does so on one. It is "
        "bookkeeping, not a limit of the GPU's memory or time.",
    )
    embedder_models: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Models that the embedder of queries keeps loaded. One more takes the place of the one "
        "not asked for the longest, and loads for seconds.",
    )
    embedder_threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Threads of the CPU that embed a batch of query texts; 0 means one per core. On a busy "
        "machine, fewer may be quicker.",
    )
    embedder_batch_tokens: int = Field(
        default=2048,
        ge=1,
        le=1_000_000,
        description="Tokens, estimated, of waiting query texts that are embedded together. More gives more "
        "texts a second and longer waits.",
    )
    embedder_queue_length: int = Field(
        default=1024,
        ge=1,
        le=100_000,
        description="Query texts that may wait for the embedder before more are refused as overload.",
    )
    embedder_cache_entries: int = Field(
        default=4096,
        ge=0,
        le=10_000_000,
        description="Vectors of recent query texts that each gateway remembers; one takes about two "
        "kilobytes at 384 dimensions. 0 remembers none.",
    )

    @property
    def cpus(self) -> int:
        """CPUs of this machine that Ray may plan with."""
        return self.num_cpus or os.cpu_count() or 1

    @property
    def gateways(self) -> int:
        """How many gateways run; at least two, so that one goes on while the other is replaced or dies."""
        return self.gateway_replicas or min(max(self.cpus, 2), 4)
