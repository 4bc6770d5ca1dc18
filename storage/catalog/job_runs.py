"""Ingestion jobs as those see them who run them: taken under a lease, and brought to an end.

A lease is a UUID that is new each time. Every change asks for it, so whoever lost it, however late they come
back, changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.catalog.database import Database
from storage.catalog.documents import begin_document, document_row
from storage.catalog.ingestion_tables import JobRow, UploadRow
from storage.catalog.jobs import IN_ACTIVE
from storage.catalog.work_queue import MOST_TRIES, Due, WorkQueue
from vectoray.core.ingestion import UNFINISHED, Document, DocumentState, Job, JobProgress, JobStatus

_QUEUE = WorkQueue("jobs", JobRow, JobRow.id, JobRow.created_by, JobRow.created_at, IN_ACTIVE)
_KILLED = (
    f"The server's process ended {MOST_TRIES} times while working on this document, so it was given up. "
    "Retry it once the cause is found, or split the file."
)


@dataclass(frozen=True, slots=True)
class JobClaim:
    """A job in somebody's hands.

    Attributes:
        job: As it was when it was taken. Is it finished, only the points of its last run are to be removed.
        lease: Who has it may change the job.
        document: What the ledger said of its document before.
    """

    job: Job
    lease: str
    document: Document

    @property
    def is_last_try(self) -> bool:
        """Whether nothing else is to be worked on meanwhile, see `WorkQueue.next`."""
        return self.document.tries >= MOST_TRIES


class JobRuns:
    """Every method is one transaction, durable when it returns.

    Whoever runs jobs takes one with `claim_next`, calls `progress` before its first write and then about once
    a second (every commit makes all processes forget what they remember of the catalog), and ends with
    `finish` or `fail`. As soon as one of these says False, the run is not wanted any more: it was cancelled,
    replaced, its collection dropped, or the lease lost.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, now: datetime) -> Due:
        """What there is to take, or to give up."""
        return await self._database.read(lambda session: _QUEUE.due(session, now))

    async def claim_next(
        self, worker: str, now: datetime, until: datetime, *, alone: bool = True
    ) -> JobClaim | None:
        """Take the next job: one that is pending, or whose worker's lease has ended, or is to be cleaned up.

        A job that was taken `MOST_TRIES` times, and never given back, is given up.

        Args:
            worker: Who takes it.
            now: When it is.
            until: When the lease ends, unless it is renewed.
            alone: Whether the worker has nothing else, see `WorkQueue.next`.
        """

        def work(session: Session) -> JobClaim | None:
            while (row := _QUEUE.next(session, now, alone=alone)) is not None:
                status = JobStatus(row.status)
                if status in UNFINISHED and row.tries < MOST_TRIES:
                    return _begin(session, row, worker, now, until)
                if status in UNFINISHED:
                    _give_up(session, row, now)
                elif row.partial:
                    return _begin_cleaning(session, row, worker, until)
                else:
                    row.end_lease(goes_on=False)
                session.flush()
            return None

        return await self._database.write(work)

    async def wanted(self, leases: Sequence[str]) -> set[str]:
        """Those of these leases whose runs are still wanted."""
        running = JobRow.status == JobStatus.PROCESSING.value
        statement = select(JobRow.lease).where(JobRow.lease.in_(leases), running, IN_ACTIVE)
        rows = await self._database.read(lambda session: session.scalars(statement).all())
        return {lease for lease in rows if lease is not None}

    async def progress(
        self, claim: JobClaim, progress: JobProgress, now: datetime, *, fingerprint: str | None = None
    ) -> bool:
        """Say how far a run is. Points are written only after their chunks are counted in ``total_chunks``.

        Args:
            claim: Whose run it is.
            progress: The first ``processed_chunks`` chunks are stored.
            now: When it is.
            fingerprint: Of the chunks; to be given with the first progress.

        Returns:
            False if the run is not wanted any more.
        """

        def work(session: Session) -> bool:
            row = _running(session, claim)
            if row is None:
                return False
            _count(row, progress)
            row.extent = max(row.extent, progress.total_chunks)
            row.partial = True
            row.updated_at = now
            document = document_row(session, row.id, row.upload_id)
            document.state = DocumentState.PARSED.value
            document.chunks, document.stored_chunks = progress.total_chunks, progress.processed_chunks
            document.fingerprint = fingerprint or document.fingerprint
            document.updated_at = now
            return True

        return await self._database.write(work)

    async def finish(self, claim: JobClaim, progress: JobProgress, now: datetime) -> bool:
        """Say that all is stored, and that nothing is left of longer earlier runs.

        Returns:
            False if the run is not wanted any more.
        """

        def work(session: Session) -> bool:
            row = _running(session, claim)
            if row is None:
                return False
            _count(row, progress)
            _end(row, JobStatus.COMPLETED, now)
            row.extent, row.partial = progress.total_chunks, False
            row.end_lease(goes_on=False)
            document = document_row(session, row.id, row.upload_id)
            document.state = DocumentState.STORED.value
            document.chunks, document.stored_chunks = progress.total_chunks, progress.processed_chunks
            document.updated_at = now
            return True

        return await self._database.write(work)

    async def fail(self, claim: JobClaim, reason: str, now: datetime) -> bool:
        """Say, in a sentence for people, why a run cannot go on.

        If it has begun to write, the lease stays: what it wrote is to be removed now, and the job released.

        Returns:
            False if the run is not wanted any more.
        """

        def work(session: Session) -> bool:
            row = _running(session, claim)
            if row is None:
                return False
            _end(row, JobStatus.FAILED, now)
            row.error = reason
            if not row.partial:
                row.end_lease(goes_on=False)
            _note_reason(session, row, reason, now)
            return True

        return await self._database.write(work)

    async def to_clean(self, claim: JobClaim) -> Job | None:
        """The job as it is now, if points of a run of this claim's are to be removed."""

        def work(session: Session) -> Job | None:
            row = _held(session, claim)
            if row is None or not row.partial or row.status == JobStatus.PROCESSING.value:
                return None
            return row.to_job(session.get_one(UploadRow, row.upload_id))

        return await self._database.read(work)

    async def release(self, claim: JobClaim, now: datetime, *, removed: bool = False) -> None:
        """Let go of a job without bringing it to an end; nothing happens if the lease is lost.

        One that runs is pending again, and this try does not count.

        Args:
            claim: The job.
            now: When it is.
            removed: Whether no point of the job is left.
        """

        def work(session: Session) -> None:
            row = _held(session, claim)
            if row is None:
                return
            if removed:
                row.partial, row.extent, row.processed_chunks = False, 0, 0
                document = document_row(session, row.id, row.upload_id)
                document.stored_chunks, document.fingerprint = 0, None
            if row.status == JobStatus.PROCESSING.value:
                row.status, row.updated_at = JobStatus.PENDING.value, now
                row.tries -= 1
            goes_on = row.status == JobStatus.PENDING.value or row.partial
            row.end_lease(goes_on=goes_on)

        await self._database.write(work)


def _begin(session: Session, row: JobRow, worker: str, now: datetime, until: datetime) -> JobClaim:
    upload = session.get_one(UploadRow, row.upload_id)
    row.take(worker, str(uuid4()), until)
    if row.started_at is None:
        row.started_at = now
    row.status, row.updated_at = JobStatus.PROCESSING.value, now
    document = begin_document(
        session,
        row.id,
        upload.id,
        collection_id=row.collection_id,
        uri=f"uploads/{upload.id}",
        source=upload.file_name,
        tries=row.tries,
        now=now,
    )
    return JobClaim(row.to_job(upload), row.lease or "", document)


def _begin_cleaning(session: Session, row: JobRow, worker: str, until: datetime) -> JobClaim:
    row.take(worker, str(uuid4()), until)
    # However often it takes: nobody's points may be left behind.
    row.tries = 0
    document = document_row(session, row.id, row.upload_id).to_document()
    return JobClaim(row.to_job(session.get_one(UploadRow, row.upload_id)), row.lease or "", document)


def _give_up(session: Session, row: JobRow, now: datetime) -> None:
    _end(row, JobStatus.FAILED, now)
    row.error = _KILLED
    row.end_lease(goes_on=row.partial)
    _note_reason(session, row, _KILLED, now)


def _note_reason(session: Session, row: JobRow, reason: str, now: datetime) -> None:
    document = document_row(session, row.id, row.upload_id)
    document.reason, document.updated_at = reason, now


def _end(row: JobRow, status: JobStatus, now: datetime) -> None:
    row.status, row.updated_at, row.completed_at = status.value, now, now


def _count(row: JobRow, progress: JobProgress) -> None:
    row.total_chunks = progress.total_chunks
    row.processed_chunks = progress.processed_chunks
    row.failed_chunks = progress.failed_chunks


def _held(session: Session, claim: JobClaim) -> JobRow | None:
    """The job, if the claim's lease is its lease; locked until the transaction ends."""
    statement = select(JobRow).where(JobRow.id == claim.job.id, JobRow.lease == claim.lease, IN_ACTIVE)
    return session.scalar(statement.with_for_update(of=JobRow))


def _running(session: Session, claim: JobClaim) -> JobRow | None:
    row = _held(session, claim)
    return row if row is not None and row.status == JobStatus.PROCESSING.value else None
