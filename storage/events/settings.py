"""The events section of the settings."""

from pydantic import BaseModel, ConfigDict, Field


class EventSettings(BaseModel):
    """How what happens is told to those who follow it, and for how long it is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    publish_interval_ms: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="Milliseconds. Writes of all shards of a host become events together, in one transaction "
        "after each such time, or after a longer one when transactions take long. Their callers have been "
        "answered by then.",
    )
    max_waiting_writes: int = Field(
        default=100_000,
        ge=0,
        le=10_000_000,
        description="Writes that a host remembers until they are events, some 100 bytes each; of more it "
        "reads the shards' log files.",
    )
    max_age_h: float = Field(
        default=168.0,
        gt=0,
        le=876_000,
        description="Hours for which events are kept.",
    )
    max_bytes: int = Field(
        default=2**30,
        ge=2**16,
        description="Bytes of events that are kept; beyond them the oldest are forgotten.",
    )
