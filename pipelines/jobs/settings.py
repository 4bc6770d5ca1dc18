"""Settings of the processes that run ingestion jobs and fetch the URLs of projects."""

from pydantic import BaseModel, ConfigDict, Field


class JobSettings(BaseModel):
    """How much one ingestor does at once, and how patient it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrent_uploads: int = Field(
        default=2, ge=1, le=256, description="Uploaded files that one ingestor works on at once."
    )
    concurrent_urls: int = Field(
        default=8, ge=1, le=1024, description="URLs of projects that one ingestor works on at once."
    )
    batch_chunks: int = Field(
        default=64,
        ge=1,
        le=65_536,
        description="Chunks that are embedded and written together. Documents take turns between batches.",
    )
    poll_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Seconds. So often an ingestor asks the catalog whether anything is due, and whether "
        "what it works on is still wanted. New work wakes it at once, usually.",
    )
    lease_s: float = Field(
        default=15.0,
        ge=1,
        le=3600,
        description="Seconds after which the work of an ingestor that is silent is taken over by another.",
    )
    retry_s: float = Field(
        default=60.0,
        ge=0,
        le=3600,
        description="Seconds for which a document waits for a part of the server that does not answer, "
        "before it fails.",
    )
