"""The settings of bulk loads."""

from pydantic import BaseModel, ConfigDict, Field


class LoadSettings(BaseModel):
    """How ready vectors are cut into parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    segment_rows: int = Field(
        default=16_384,
        ge=1,
        le=4_194_304,
        description="Rows of a part for each shard: it becomes a segment of so many rows, with a graph.",
    )
    max_part_bytes: int = Field(
        default=48 * 2**20,
        ge=2**20,
        le=2**30,
        description="Bytes of the vectors of a part at most. A worker has a part in memory several times; "
        "with many shards, more of it makes larger segments.",
    )

    def part_rows(self, *, dimension: int, shards: int) -> int:
        """Rows of a part, for a collection of so many dimensions and shards."""
        return max(1, min(self.segment_rows * shards, self.max_part_bytes // (4 * dimension)))
