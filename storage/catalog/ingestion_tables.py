"""The tables of uploads and ingestion jobs, as SQLAlchemy models, and what they are in the core vocabulary.

Both go with their collection: the database removes them when it removes the collection's row.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables import Base, UtcDateTime
from storage.catalog.work_tables import AT_ONCE, Leased, queue_indexes
from vectoray.core.ingestion import (
    UNFINISHED,
    Chunking,
    ChunkingStrategy,
    FileType,
    Job,
    JobProgress,
    JobStatus,
    Upload,
)


class UploadRow(Base):
    """One uploaded file, whose bytes are stored already."""

    __tablename__ = "uploads"
    __table_args__ = (Index("ix_uploads_collection_id", "collection_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    collection_id: Mapped[str] = mapped_column(String(36), ForeignKey("collections.id", ondelete="CASCADE"))
    file_name: Mapped[str] = mapped_column(String(255))
    file_type: Mapped[str] = mapped_column(String(16))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    created_by: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @classmethod
    def of(cls, upload: Upload) -> "UploadRow":
        """The row of an upload."""
        return cls(
            id=upload.id,
            collection_id=upload.collection_id,
            file_name=upload.file_name,
            file_type=upload.file_type.value,
            size_bytes=upload.size_bytes,
            sha256=upload.sha256,
            created_by=upload.created_by,
            created_at=upload.created_at,
        )

    def to_upload(self) -> Upload:
        """The upload of this row."""
        return Upload(
            id=self.id,
            collection_id=self.collection_id,
            file_name=self.file_name,
            file_type=FileType(self.file_type),
            size_bytes=self.size_bytes,
            sha256=self.sha256,
            created_by=self.created_by,
            created_at=self.created_at,
        )


class JobRow(Leased, Base):
    """One ingestion job. An upload stays for as long as a job needs it.

    It is due while it is pending or runs, and after that while ``partial``: whether points of a run may be
    there that was not brought to its end.
    """

    __tablename__ = "ingestion_jobs"
    __table_args__ = (
        Index("ix_ingestion_jobs_collection_id", "collection_id", "created_at"),
        Index("ix_ingestion_jobs_status", "status", "created_at"),
        Index("ix_ingestion_jobs_upload_id", "upload_id"),
        *queue_indexes("ingestion_jobs", "created_by", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    collection_id: Mapped[str] = mapped_column(String(36), ForeignKey("collections.id", ondelete="CASCADE"))
    upload_id: Mapped[str] = mapped_column(String(36), ForeignKey("uploads.id"))
    chunking: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(16))
    run: Mapped[int]
    total_chunks: Mapped[int]
    processed_chunks: Mapped[int]
    failed_chunks: Mapped[int]
    extent: Mapped[int]
    partial: Mapped[bool] = mapped_column(default=False)
    error: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @classmethod
    def of(cls, job: Job) -> "JobRow":
        """The row of a job."""
        return cls(
            id=job.id,
            collection_id=job.collection_id,
            upload_id=job.upload.id,
            chunking=chunking_document(job.chunking),
            status=job.status.value,
            run=job.run,
            total_chunks=job.progress.total_chunks,
            processed_chunks=job.progress.processed_chunks,
            failed_chunks=job.progress.failed_chunks,
            extent=job.extent,
            error=job.error,
            created_by=job.created_by,
            created_at=job.created_at,
            updated_at=job.updated_at,
            started_at=job.started_at,
            completed_at=job.completed_at,
            due_at=AT_ONCE if job.status in UNFINISHED else None,
        )

    def to_job(self, upload: UploadRow) -> Job:
        """The job of this row, which ingests ``upload``."""
        return Job(
            id=self.id,
            collection_id=self.collection_id,
            upload=upload.to_upload(),
            chunking=_to_chunking(self.chunking),
            status=JobStatus(self.status),
            run=self.run,
            progress=JobProgress(self.total_chunks, self.processed_chunks, self.failed_chunks),
            extent=self.extent,
            error=self.error,
            created_by=self.created_by,
            created_at=self.created_at,
            updated_at=self.updated_at,
            started_at=self.started_at,
            completed_at=self.completed_at,
        )


def chunking_document(chunking: Chunking) -> dict[str, Any]:
    """What is stored of how a document is cut."""
    return {
        "strategy": chunking.strategy.value,
        "size_chars": chunking.size_chars,
        "overlap_chars": chunking.overlap_chars,
    }


def _to_chunking(document: dict[str, Any]) -> Chunking:
    return Chunking(
        strategy=ChunkingStrategy(document["strategy"]),
        size_chars=document["size_chars"],
        overlap_chars=document["overlap_chars"],
    )
