"""The ingestion section of the settings."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.fetch.settings import FetchSettings
from pipelines.parse.settings import ParseSettings
from pipelines.vectors.settings import LoadSettings
from vectoray.embedding.device import DeviceChoice


class PipelineSettings(BaseModel):
    """How documents become searchable chunks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_model: str = Field(
        default="all-MiniLM-L6-v2",
        min_length=1,
        description="Name of the model that turns chunks into vectors, where a collection names none.",
    )
    chunk_max_chars: int = Field(
        default=900,
        ge=100,
        le=100_000,
        description="Characters in a chunk at most. English text has about four to a token, and what a model "
        "reads beyond its token limit is ignored.",
    )
    chunk_overlap_chars: int = Field(
        default=100,
        ge=0,
        le=50_000,
        description="Characters that a chunk repeats from the end of the one before, at most.",
    )
    max_file_bytes: int = Field(
        default=64 * 2**20,
        ge=1,
        le=4 * 2**30,
        description="Bytes. A larger file is refused.",
    )
    parse: ParseSettings = Field(default_factory=ParseSettings, description="Reading of documents.")
    embed_batch_rows: int = Field(
        default=512,
        ge=1,
        le=65_536,
        description="Rows. Chunks that an embedding worker takes at a time.",
    )
    embed_actors: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Embedding workers of one job. Each loads the model once.",
    )
    fetch: FetchSettings = Field(
        default=FetchSettings(), description="How web pages are fetched, and from where."
    )

    embed_threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Threads of the CPU that an embedding worker computes with; 0 means one per core. Fewer "
        "leave cores to searches.",
    )
    embed_device: DeviceChoice = Field(
        default="auto",
        description="Where chunks are embedded: 'cpu' (OpenVINO), 'gpu' (torch), or 'auto', the GPUs that "
        "Ray and torch see. On GPUs there is one embedding worker for each.",
    )
    embed_gpus: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description="Part of a GPU that Ray sets aside for an embedding worker. With `cluster.embedder_gpus` "
        "it must not exceed 1 where there is one GPU.",
    )
    embed_cache_bytes: int = Field(
        default=2**30,
        ge=0,
        description="Bytes on the disk of each node in which vectors of chunks are kept, so that text that "
        "comes again is not embedded again; 384 dimensions take 1.7 kB. 0 keeps none.",
    )
    niceness: int = Field(
        default=15,
        ge=0,
        le=19,
        description="How far ingestion stands back behind searches on a busy CPU, as by the command 'nice'.",
    )

    load: LoadSettings = Field(default=LoadSettings(), description="Bulk loads of ready vectors.")

    @model_validator(mode="after")
    def _overlap_is_smaller_than_a_chunk(self) -> Self:
        if self.chunk_overlap_chars >= self.chunk_max_chars:
            raise ValueError("chunk_overlap_chars must be smaller than chunk_max_chars")
        return self
