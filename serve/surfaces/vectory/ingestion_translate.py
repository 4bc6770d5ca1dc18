"""Between the Vectory API's wire models and uploads and ingestion jobs. Pure functions."""

from datetime import UTC, datetime

from serve.answer import stored_json
from serve.event_stream import frame
from serve.service.jobs import JobPoints
from serve.service.ownership import ById
from serve.surfaces.vectory import ingestion_wire as wire
from vectoray.core.ingestion import (
    Chunking,
    ChunkingOverrides,
    ChunkingStrategy,
    Job,
    JobStatus,
    Upload,
)
from vectoray.core.model import Point

_UPLOADS = "uploads/"


def upload_info(upload: Upload) -> dict[str, object]:
    """A `wire.UploadInfo`."""
    return {
        "file_path": _file_path(upload),
        "file_name": upload.file_name,
        "file_size": upload.size_bytes,
        "file_type": upload.file_type.value,
        "collection_id": upload.collection_id,
    }


def upload_id(file_path: str) -> str:
    """The id of the upload that a path names; what no upload is called by where it names none."""
    return file_path.removeprefix(_UPLOADS) if file_path.startswith(_UPLOADS) else ""


def chunking(config: wire.ConfigOverrides | None) -> Chunking:
    """How a new job cuts its document.

    Raises:
        InvalidRequest: The overlap is not below the size.
    """
    return overrides(config).of(Chunking())


def overrides(config: wire.ConfigOverrides | None) -> ChunkingOverrides:
    """What of a config is given."""
    if config is None:
        return ChunkingOverrides()
    strategy = config.chunking_strategy
    return ChunkingOverrides(
        strategy=None if strategy is None else ChunkingStrategy(strategy),
        size_chars=config.chunk_size,
        overlap_chars=config.chunk_overlap,
    )


def reingest_overrides(body: wire.Reingest | None) -> ChunkingOverrides:
    """What a new run does otherwise."""
    return overrides(None if body is None else body.config)


def address(collection_id: str | None) -> ById | None:
    """A collection to look in."""
    return None if collection_id is None else ById(collection_id)


def status(name: wire.Status | None) -> JobStatus | None:
    """A status to look for."""
    return None if name is None else JobStatus(name)


def job_info(job: Job) -> wire.JobInfo:
    """A job."""
    return wire.JobInfo(
        id=job.id,
        collection_id=job.collection_id,
        status=job.status.value,
        file_path=_file_path(job.upload),
        file_name=job.upload.file_name,
        file_size=job.upload.size_bytes,
        file_type=job.upload.file_type.value,
        total_chunks=job.progress.total_chunks,
        processed_chunks=job.progress.processed_chunks,
        failed_chunks=job.progress.failed_chunks,
        error_message=job.error,
        config=_config(job.chunking),
        created_by=job.created_by,
        created_at=job.created_at,
        updated_at=job.updated_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
    )


def job_page(jobs: list[Job], total: int) -> wire.JobPage:
    """Some jobs."""
    return wire.JobPage(items=[job_info(job) for job in jobs], total=total)


def progress_frame(job: Job) -> bytes:
    """An event whose data is a `wire.JobProgress`."""
    percent = 100.0 if job.status is JobStatus.COMPLETED else job.progress.percent
    return frame(
        {
            "job_id": job.id,
            "status": job.status.value,
            "total_chunks": job.progress.total_chunks,
            "processed_chunks": job.progress.processed_chunks,
            "failed_chunks": job.progress.failed_chunks,
            "progress_pct": round(percent, 2),
        }
    )


def job_vectors(found: JobPoints) -> dict[str, object]:
    """A `wire.JobVectors`, its metadata still in bytes."""
    return {
        "items": [_job_vector(found.job.collection_id, point) for point in found.points],
        "total": found.total,
    }


def templates() -> list[wire.Template]:
    """The configs that are worth beginning with."""
    return [
        _template(
            "rag",
            "RAG",
            "Passages of a few sentences that overlap: enough context for a language model to answer from.",
            Chunking(ChunkingStrategy.SENTENCE, 900, 100),
        ),
        _template(
            "semantic-search",
            "Semantic search",
            "Short passages without overlap: results that say one thing each.",
            Chunking(ChunkingStrategy.SENTENCE, 400, 0),
        ),
        _template(
            "faq",
            "FAQ",
            "Whole paragraphs, as many as fit: an answer stays in one piece.",
            Chunking(ChunkingStrategy.PARAGRAPH, 800, 0),
        ),
    ]


def _template(template_id: str, name: str, description: str, chunking: Chunking) -> wire.Template:
    return wire.Template(id=template_id, name=name, description=description, config=_config(chunking))


def _config(chunking: Chunking) -> wire.JobConfig:
    return wire.JobConfig(
        chunking_strategy=chunking.strategy.value,
        chunk_size=chunking.size_chars,
        chunk_overlap=chunking.overlap_chars,
    )


def _file_path(upload: Upload) -> str:
    return f"{_UPLOADS}{upload.id}"


def _job_vector(collection_id: str, point: Point) -> dict[str, object]:
    created_at = datetime.fromtimestamp(point.created_ms / 1000, UTC)
    return {
        "id": point.id,
        "collection_id": collection_id,
        "metadata": stored_json(point.payload),
        "text_content": point.text,
        "source_file": point.source,
        "chunk_index": point.chunk_index,
        "created_at": created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
