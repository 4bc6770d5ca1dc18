"""The tables of who works on what, as SQLAlchemy models: leases, turns, workers, the ledger of documents."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables import Base, UtcDateTime
from vectoray.core.ingestion import Document, DocumentState

_IS_DUE, _IS_TAKEN = text("due_at IS NOT NULL"), text("lease IS NOT NULL")

AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
"""When what waits is due: before any clock, for that of whoever makes it may be ahead of the workers'."""


class Leased:
    """Columns of what workers take and work on.

    Attributes:
        due_at: From when on it may be taken: `AT_ONCE` while it waits; while somebody has it, when their
            lease ends, by their clock; null for never.
        lease: A new UUID each time it is taken. Who has not the one that stands here may change nothing.
        worker: Who took it last.
        tries: How often it was taken and not brought to an end, but for orderly stops of its worker.
    """

    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease: Mapped[str | None] = mapped_column(String(36))
    worker: Mapped[str | None] = mapped_column(String(36))
    tries: Mapped[int] = mapped_column(default=0)

    def take(self, worker: str, lease: str, until: datetime) -> None:
        """Give it to a worker."""
        self.worker, self.lease, self.due_at = worker, lease, until
        self.tries += 1

    def end_lease(self, *, goes_on: bool) -> None:
        """Take it out of its worker's hands, and let others take it, or nobody."""
        self.lease, self.due_at = None, AT_ONCE if goes_on else None


def queue_indexes(table: str, who: str, order: str) -> tuple[Index, ...]:
    """What finds the next row to take, and rows that are taken, however many others there are.

    Args:
        table: One that has the columns of `Leased`.
        who: As the columns of `storage.catalog.work_queue.WorkQueue`.
        order: As there.
    """
    due: dict[str, Any] = {"sqlite_where": _IS_DUE, "postgresql_where": _IS_DUE}
    taken: dict[str, Any] = {"sqlite_where": _IS_TAKEN, "postgresql_where": _IS_TAKEN}
    return (
        Index(f"ix_{table}_due_at", "due_at", "tries", **due),
        Index(f"ix_{table}_queue", who, order, "id", "due_at", **due),
        Index(f"ix_{table}_lease", "lease", who, **taken),
    )


class TurnRow(Base):
    """When something of somebody's was taken from a queue last, so that the others come first now."""

    __tablename__ = "ingestion_turns"

    queue: Mapped[str] = mapped_column(String(16), primary_key=True)
    who: Mapped[str] = mapped_column(String(255), primary_key=True)
    taken_at: Mapped[datetime] = mapped_column(UtcDateTime)


class WorkerRow(Base):
    """A process that works on jobs and URLs, or did a while ago."""

    __tablename__ = "ingestion_workers"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    running: Mapped[int]


class DocumentRow(Base):
    """How far one document of a job, or of a URL, has come. It goes with its collection."""

    __tablename__ = "ingestion_documents"
    __table_args__ = (Index("ix_ingestion_documents_collection_id", "collection_id"),)

    owner_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    document_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    collection_id: Mapped[str] = mapped_column(String(36), ForeignKey("collections.id", ondelete="CASCADE"))
    uri: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    chunks: Mapped[int] = mapped_column(default=0)
    stored_chunks: Mapped[int] = mapped_column(default=0)
    tries: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str | None] = mapped_column(Text)
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    fetched_url: Mapped[str | None] = mapped_column(Text)
    etag: Mapped[str | None] = mapped_column(Text)
    last_modified: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    def to_document(self) -> Document:
        """The document of this row."""
        return Document(
            owner_id=self.owner_id,
            document_id=self.document_id,
            collection_id=self.collection_id,
            uri=self.uri,
            source=self.source,
            state=DocumentState(self.state),
            chunks=self.chunks,
            stored_chunks=self.stored_chunks,
            tries=self.tries,
            reason=self.reason,
            fingerprint=self.fingerprint,
            fetched_url=self.fetched_url,
            etag=self.etag,
            last_modified=self.last_modified,
            updated_at=self.updated_at,
        )
