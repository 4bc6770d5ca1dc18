"""What the Vectory API sends about why a document is found, or not. Pydantic models only."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainSerializer

from serve.surfaces.vectory.ingestion_wire import Status


def _to_the_millisecond(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[datetime, PlainSerializer(_to_the_millisecond)]


class ExplainedStep(BaseModel):
    """Whether something happened that must happen for a document to be found."""

    step: Literal["listed", "fetched", "parsed", "embedded", "stored", "searchable", "found"]
    answer: Literal["yes", "no", "unknown"]
    reason: Annotated[str, Field(description="A sentence for people.")]
    at: Annotated[Time | None, Field(description="When it happened; null where nobody knows.")]


class ExplainedShard(BaseModel):
    """The chunks of a document that one shard has."""

    shard: int
    chunks: int
    newest_sequence: Annotated[
        int, Field(description="Of the last write to them: all can be searched from there on.")
    ]
    updated_at: Time


class ExplainedDocument(BaseModel):
    """How far a document came. Times are UTC."""

    source: str
    job_id: Annotated[str | None, Field(description="null of what no job ingested.")]
    status: Annotated[Status | None, Field(description="Of the job.")]
    tries: Annotated[int, Field(description="How often somebody began with it; 0 where nobody counts.")]
    worker: Annotated[str | None, Field(description="The ingestor that has it now.")]
    chunks: Annotated[int | None, Field(description="In the document; null where that is not known.")]
    steps: Annotated[list[ExplainedStep], Field(description="In the order in which they happen.")]
    shards: list[ExplainedShard]


class Explanation(BaseModel):
    """Everything that is called by a name, the newest first."""

    collection_id: str
    source: str
    documents: list[ExplainedDocument]
