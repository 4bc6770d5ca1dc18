"""The storage section of the settings."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class StorageSettings(BaseModel):
    """How shards keep their points, and where uploaded files lie."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seal_rows: int = Field(
        default=4096,
        ge=1,
        le=1_000_000,
        description="Rows. Recent writes are searched one by one until there are this many; "
        "then they become an indexed segment.",
    )
    merge_factor: int = Field(
        default=4,
        ge=2,
        le=64,
        description="Smaller segments join a larger one when together they have this part of its rows (4: a "
        "quarter); in collections without graphs, this many segments of about the same size are merged.",
    )
    merge_max_rows: int = Field(
        default=2_000_000,
        ge=4096,
        description="Rows. Merging makes no larger segment. While it grows, a segment's graph is in memory: "
        "about dimension + 200 bytes a row.",
    )
    max_unindexed_rows: int = Field(
        default=65_536,
        # Fewer may never get a graph: then writers would wait for ever.
        ge=4096,
        description="Rows. Writers wait while more sealed rows than this have no graph yet and are searched "
        "one by one.",
    )
    flush_rows: int = Field(
        default=8192,
        ge=1,
        le=1_000_000,
        description="Rows. Acknowledged writes go to the LanceDB table when there are this many.",
    )
    flush_interval_s: float = Field(
        default=30.0,
        gt=0,
        le=86_400,
        description="Seconds. Acknowledged writes go to the LanceDB table at the latest after this time.",
    )
    table_versions_keep_s: float = Field(
        default=600.0,
        ge=0,
        le=31_536_000,
        description="Seconds. The LanceDB table can be read as it was at any moment of this time.",
    )
    max_pending_bytes: int = Field(
        default=256 * 2**20,
        ge=2**20,
        description="Bytes of vectors waiting for the disk, per shard; "
        "beyond them writes are refused as overload.",
    )
    max_commit_rows: int = Field(
        default=8192,
        ge=1,
        le=1_000_000,
        description="Rows. Waiting writes share one durable file up to about this many.",
    )
    blobs_url: SecretStr | None = Field(
        default=None,
        description="Where uploaded files lie: s3://bucket/prefix or gs://bucket/prefix, with options such "
        "as ?region=. It may carry credentials; better in the environment than in a file. null means the "
        "data folder.",
    )
    unused_uploads_keep_s: float = Field(
        default=7 * 86_400,
        ge=3600,
        le=31_536_000,
        description="Seconds. Uploaded files that no ingestion job uses are removed after this time.",
    )
