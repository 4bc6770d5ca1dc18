"""Uploaded files, and the jobs that turn them into points. Knows no storage and no pipeline."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from vectoray.core.errors import InvalidRequest

MIN_CHUNK_CHARS = 50
MAX_CHUNK_CHARS = 100_000


class FileType(StrEnum):
    """The kinds of files that may be uploaded."""

    PDF = "pdf"
    DOCX = "docx"
    TXT = "txt"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    MD = "md"
    HTML = "html"


class ChunkingStrategy(StrEnum):
    """Where one chunk of a document ends and the next begins."""

    FIXED_SIZE = "fixed_size"
    SENTENCE = "sentence"
    PARAGRAPH = "paragraph"


@dataclass(frozen=True, slots=True)
class Chunking:
    """How a document is cut.

    Attributes:
        strategy: Where a chunk ends.
        size_chars: Characters in a chunk at most.
        overlap_chars: Characters that a chunk repeats of the one before, at most.

    Raises:
        InvalidRequest: The size is out of bounds, or the overlap not from 0 to below it.
    """

    strategy: ChunkingStrategy = ChunkingStrategy.SENTENCE
    size_chars: int = 500
    overlap_chars: int = 50

    def __post_init__(self) -> None:
        if not MIN_CHUNK_CHARS <= self.size_chars <= MAX_CHUNK_CHARS:
            raise InvalidRequest(
                f"chunk_size is {self.size_chars}, it must be from {MIN_CHUNK_CHARS} to {MAX_CHUNK_CHARS}.",
                {"at": "config.chunk_size"},
            )
        if not 0 <= self.overlap_chars < self.size_chars:
            raise InvalidRequest(
                f"chunk_overlap is {self.overlap_chars}, it must be from 0 to below the chunk_size of "
                f"{self.size_chars}.",
                {"at": "config.chunk_overlap"},
            )


@dataclass(frozen=True, slots=True)
class ChunkingOverrides:
    """What of a `Chunking` is to be another; None leaves a part as it is."""

    strategy: ChunkingStrategy | None = None
    size_chars: int | None = None
    overlap_chars: int | None = None

    def of(self, chunking: Chunking) -> Chunking:
        """``chunking`` with these parts.

        Raises:
            InvalidRequest: They do not go together.
        """
        return Chunking(
            strategy=chunking.strategy if self.strategy is None else self.strategy,
            size_chars=chunking.size_chars if self.size_chars is None else self.size_chars,
            overlap_chars=chunking.overlap_chars if self.overlap_chars is None else self.overlap_chars,
        )


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that somebody sent.

    Attributes:
        id: UUID, under which its bytes are stored.
        file_name: As its sender calls it; never a part of a path of ours.
        sha256: Of its bytes, in hexadecimal digits.
        created_by: The user who sent it, and who alone may have it ingested.
    """

    id: str
    collection_id: str
    file_name: str
    file_type: FileType
    size_bytes: int
    sha256: str
    created_by: str
    created_at: datetime


class JobStatus(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = frozenset((JobStatus.PENDING, JobStatus.PROCESSING))
"""Those in which a job may still change by itself; every other one is terminal."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a run of a job is.

    Attributes:
        total_chunks: In the document; 0 while that is not known.
        processed_chunks: That are stored.
        failed_chunks: That could not be.
    """

    total_chunks: int = 0
    processed_chunks: int = 0
    failed_chunks: int = 0

    @property
    def percent(self) -> float:
        """Of the chunks, how many are done with: 0 to 100."""
        if not self.total_chunks:
            return 0.0
        return min(100.0, 100 * (self.processed_chunks + self.failed_chunks) / self.total_chunks)


@dataclass(frozen=True, slots=True)
class Job:
    """The ingestion of one uploaded file into one collection.

    Attributes:
        id: UUID. The ids of the job's points follow from it, see `job_point_id`.
        run: 1 at first, and one more each time the job starts anew. What an earlier run still says is void.
        extent: No point of the job has a chunk index from here on, whichever run wrote it.
        error: A sentence for people, of a job that failed.
        started_at: When the run began.
        completed_at: When the run ended, in whatever way.
    """

    id: str
    collection_id: str
    upload: Upload
    chunking: Chunking
    created_by: str
    created_at: datetime
    updated_at: datetime
    status: JobStatus = JobStatus.PENDING
    run: int = 1
    progress: JobProgress = JobProgress()
    extent: int = 0
    error: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None


class DocumentState(StrEnum):
    """How far a document has come. One that failed keeps the last that it reached."""

    TAKEN = "taken"
    """Somebody works on it, or did."""

    FETCHED = "fetched"
    """Its bytes are there."""

    PARSED = "parsed"
    """It is cut into chunks, of which some may be stored."""

    EMBEDDED = "embedded"
    """All of its chunks have their vectors."""

    STORED = "stored"
    """All of its chunks can be searched, and nothing is left of other forms of it."""


@dataclass(frozen=True, slots=True)
class Document:
    """What the ledger says of one document of a job or of a URL.

    Attributes:
        owner_id: Of the job, or of the URL.
        document_id: Of the upload, or again of the URL.
        uri: Where it is from.
        source: What people call it.
        chunks: In it; 0 while that is not known.
        stored_chunks: The first so many of them are stored.
        tries: How often somebody began with it, in this run or attempt.
        reason: A sentence for people, of one that failed; None of all others.
        fingerprint: Of what is embedded of it and by what. The same fingerprint, the same points.
        fetched_url: Where a web page was found, behind all redirects.
        etag: What the server of a web page called this version of it.
        last_modified: When the server said that it was changed, in the server's words.
    """

    owner_id: str
    document_id: str
    collection_id: str
    uri: str
    source: str
    state: DocumentState
    chunks: int
    stored_chunks: int
    tries: int
    reason: str | None
    fingerprint: str | None
    fetched_url: str | None
    etag: str | None
    last_modified: str | None
    updated_at: datetime


def job_point_id(job_id: str, chunk_index: int) -> str:
    """The id of the point that a job makes of a chunk: a UUID of version 5 (RFC 9562).

    The same in every run, so a run that is repeated replaces what it wrote, and whoever knows the job and its
    `Job.extent` knows all of its points.
    """
    return str(uuid5(UUID(job_id), str(chunk_index)))
