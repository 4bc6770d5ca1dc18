"""The ingestion section of the settings."""

from pydantic import BaseModel, ConfigDict, Field

from pipelines.chunk_settings import ChunkingSettings
from pipelines.fetch.settings import FetchSettings
from pipelines.jobs.settings import JobSettings
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
    chunking: ChunkingSettings = Field(
        default=ChunkingSettings(),
        description="How web pages, and documents of the command line, become chunks.",
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
    jobs: JobSettings = Field(
        default=JobSettings(), description="How uploads and URLs are worked on as they come."
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
