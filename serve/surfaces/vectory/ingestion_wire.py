"""What the Vectory API sends and receives about uploads and ingestion jobs. Pydantic models only."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from serve.wire_types import WireModel
from vectoray.core.ingestion import MAX_CHUNK_CHARS, MIN_CHUNK_CHARS

Strategy = Literal["fixed_size", "sentence", "paragraph"]
Status = Literal["pending", "processing", "completed", "failed", "cancelled"]

ChunkSize = Annotated[
    int, Field(ge=MIN_CHUNK_CHARS, le=MAX_CHUNK_CHARS, description="Characters in a chunk at most.")
]
ChunkOverlap = Annotated[
    int,
    Field(
        ge=0, description="Characters that a chunk repeats of the one before, at most; below 'chunk_size'."
    ),
]


class UploadInfo(BaseModel):
    """A file that is stored now."""

    file_path: Annotated[str, Field(description="Names the upload; to be sent when a job is created.")]
    file_name: str
    file_size: Annotated[int, Field(description="Bytes.")]
    file_type: str
    collection_id: str


class ConfigOverrides(WireModel):
    """What a new run of a job does otherwise. What is left out, or null, stays."""

    model_config = ConfigDict(extra="forbid")

    chunking_strategy: Strategy | None = None
    chunk_size: ChunkSize | None = None
    chunk_overlap: ChunkOverlap | None = None


class CreateJob(WireModel):
    """A job to create. What is said of the file beside its path is not looked at: the upload knows it."""

    file_path: str
    file_name: str | None = None
    file_size: int | None = None
    file_type: str | None = None
    config: ConfigOverrides | None = None


class Reingest(WireModel):
    """What a new run does otherwise: in 'config', or at the top."""

    config: ConfigOverrides | None = None

    @model_validator(mode="before")
    @classmethod
    def _at_the_top(cls, document: Any) -> Any:
        return {"config": document} if isinstance(document, dict) and "config" not in document else document


class JobConfig(BaseModel):
    """How a job cuts its document."""

    chunking_strategy: Strategy
    chunk_size: int
    chunk_overlap: int


class JobInfo(BaseModel):
    """An ingestion job. Times are UTC."""

    id: str
    collection_id: str
    status: Status
    file_path: str
    file_name: str
    file_size: int
    file_type: str
    total_chunks: Annotated[int, Field(description="0 until the document is cut.")]
    processed_chunks: int
    failed_chunks: int
    error_message: str | None
    config: JobConfig
    created_by: str
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: Annotated[datetime | None, Field(description="When it ended, in whatever way.")]


class JobPage(BaseModel):
    """Some jobs, and how many there are."""

    items: list[JobInfo]
    total: int


class JobVector(BaseModel):
    """A vector that a job wrote."""

    id: str
    collection_id: str
    metadata: dict[str, Any]
    text_content: str | None
    source_file: str | None
    chunk_index: int | None
    created_at: datetime


class JobVectors(BaseModel):
    """The vectors of some of a job's chunks, in the order of these, and how many chunks there are.

    Chunks that failed, or whose vectors were deleted since, are counted and have none.
    """

    items: list[JobVector]
    total: int


class JobProgress(BaseModel):
    """One event of the progress stream."""

    job_id: str
    status: Status
    total_chunks: int
    processed_chunks: int
    failed_chunks: int
    progress_pct: float


class Template(BaseModel):
    """A config to begin with."""

    id: str
    name: str
    description: str
    config: JobConfig
