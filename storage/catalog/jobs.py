"""Ingestion jobs and their states: the one place that reads and writes their table of the catalog.

Every change of state is one UPDATE that names the states it may start from, so of several processes that want
to change a job, those that come too late change nothing and are told so. Of a job whose collection is being
dropped, nothing is to be seen.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.catalog.catalog import ACTIVE, belongs_to
from storage.catalog.database import Database
from storage.catalog.ingestion_tables import JobRow, UploadRow, chunking_document
from storage.catalog.tables import CollectionRow
from vectoray.core.ingestion import UNFINISHED, Chunking, Job, JobProgress, JobStatus

_IN_ACTIVE = JobRow.collection_id.in_(select(CollectionRow.id).where(ACTIVE))
_NEW_RUN: dict[str, Any] = {
    "status": JobStatus.PENDING.value,
    "run": JobRow.run + 1,
    "total_chunks": 0,
    "processed_chunks": 0,
    "failed_chunks": 0,
    "error": None,
    "started_at": None,
    "completed_at": None,
}


class Jobs:
    """Every method is one transaction, durable when it returns.

    Whoever runs jobs takes one with `claim_next`, calls `progress` before its first write and then about once
    a second (every commit makes all processes forget what they remember of the catalog), and ends with
    `finish` or `fail`. As soon as one of these says False, the run is not wanted any more: it was cancelled,
    replaced, or its collection dropped.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, job: Job) -> bool:
        """Keep a new job. False if its upload or its collection is gone."""
        try:
            await self._database.write(lambda session: session.add(JobRow.of(job)))
        except IntegrityError:
            return False
        return True

    async def find(self, job_id: str) -> Job | None:
        """The job with this id."""
        [found] = await self.find_each([job_id])
        return found

    async def find_each(self, job_ids: Sequence[str]) -> list[Job | None]:
        """The jobs with these ids, in the order asked; None where there is none."""
        statement = _select().where(JobRow.id.in_(job_ids), _IN_ACTIVE)
        rows = await self._database.read(lambda session: session.execute(statement).all())
        jobs = {row.id: row.to_job(upload) for row, upload in rows}
        return [jobs.get(job_id) for job_id in job_ids]

    async def page(
        self,
        owners: Sequence[str],
        *,
        among: frozenset[str] | None = None,
        collection_id: str | None = None,
        status: JobStatus | None = None,
        skip: int = 0,
        limit: int,
    ) -> tuple[list[Job], int]:
        """Jobs of the collections of ``owners``, newest first, and how many there are without the limit.

        Args:
            owners: As for `storage.catalog.catalog.Catalog.page`.
            among: Ids of the only collections whose jobs count; None for all.
            collection_id: Only jobs of this collection.
            status: Only jobs of this status.
            skip: How many to leave out at the beginning.
            limit: How many at most.
        """
        visible = select(CollectionRow.id).where(belongs_to(owners, among), ACTIVE)
        condition: ColumnElement[bool] = JobRow.collection_id.in_(visible)
        if collection_id is not None:
            condition = and_(condition, JobRow.collection_id == collection_id)
        if status is not None:
            condition = and_(condition, JobRow.status == status.value)
        newest = JobRow.created_at.desc(), JobRow.id
        items = _select().where(condition).order_by(*newest).offset(skip).limit(limit)
        count = select(func.count()).select_from(JobRow).where(condition)
        rows, total = await self._database.read(
            lambda session: (session.execute(items).all(), session.scalar(count) or 0)
        )
        return [row.to_job(upload) for row, upload in rows], total

    async def cancel(self, job_id: str, now: datetime) -> bool:
        """Cancel a job that is not finished. False if it is, or there is none."""
        values = _ended(JobStatus.CANCELLED, now)
        return await self._move(JobRow.id == job_id, UNFINISHED, values) is not None

    async def restart(
        self, job_id: str, starts: frozenset[JobStatus], chunking: Chunking, now: datetime
    ) -> Job | None:
        """Let a job that is in one of the states ``starts`` run anew, cutting as ``chunking`` says.

        Returns:
            The job as it is now; None if it is in another state, or there is none.
        """
        values = {**_NEW_RUN, "chunking": chunking_document(chunking), "updated_at": now}
        return await self._move(JobRow.id == job_id, starts, values)

    async def claim_next(self, now: datetime) -> Job | None:
        """Take the oldest pending job to run it; nobody else gets the same run. None if there is none."""
        oldest = (
            select(JobRow.id)
            .where(JobRow.status == JobStatus.PENDING.value, _IN_ACTIVE)
            .order_by(JobRow.created_at, JobRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        values = {"status": JobStatus.PROCESSING.value, "started_at": now, "updated_at": now}
        return await self._move(JobRow.id == oldest, frozenset((JobStatus.PENDING,)), values)

    async def progress(self, job_id: str, run: int, progress: JobProgress, now: datetime) -> bool:
        """Say how far a run is. Points are written only after their chunks are counted in ``total_chunks``.

        Returns:
            False if the run is not wanted any more.
        """
        total = progress.total_chunks
        values = {
            **_counts(progress),
            "extent": case((JobRow.extent < total, total), else_=JobRow.extent),
            "updated_at": now,
        }
        return await self._end_or_go_on(job_id, run, values)

    async def finish(self, job_id: str, run: int, progress: JobProgress, now: datetime) -> bool:
        """Say that all is stored, and that nothing is left of longer earlier runs.

        Returns:
            False if the run is not wanted any more.
        """
        ended = _ended(JobStatus.COMPLETED, now)
        values = {**_counts(progress), **ended, "extent": progress.total_chunks}
        return await self._end_or_go_on(job_id, run, values)

    async def fail(self, job_id: str, run: int, reason: str, now: datetime) -> bool:
        """Say, in a sentence for people, why a run cannot go on.

        Returns:
            False if the run is not wanted any more.
        """
        return await self._end_or_go_on(job_id, run, {**_ended(JobStatus.FAILED, now), "error": reason})

    async def _end_or_go_on(self, job_id: str, run: int, values: dict[str, Any]) -> bool:
        condition = and_(JobRow.id == job_id, JobRow.run == run)
        return await self._move(condition, frozenset((JobStatus.PROCESSING,)), values) is not None

    async def _move(
        self, condition: ColumnElement[bool], starts: frozenset[JobStatus], values: dict[str, Any]
    ) -> Job | None:
        """Change the job that meets a condition and is in one of the states ``starts``."""
        statement = (
            update(JobRow)
            .where(condition, JobRow.status.in_(sorted(status.value for status in starts)), _IN_ACTIVE)
            .values(values)
            .returning(JobRow)
            .execution_options(synchronize_session=False)
        )

        def work(session: Session) -> Job | None:
            row = session.scalars(statement).one_or_none()
            if row is None:
                return None
            return row.to_job(session.get_one(UploadRow, row.upload_id))

        return await self._database.write(work)


def _select() -> Any:
    return select(JobRow, UploadRow).join(UploadRow, UploadRow.id == JobRow.upload_id)


def _ended(status: JobStatus, now: datetime) -> dict[str, Any]:
    return {"status": status.value, "updated_at": now, "completed_at": now}


def _counts(progress: JobProgress) -> dict[str, Any]:
    return {
        "total_chunks": progress.total_chunks,
        "processed_chunks": progress.processed_chunks,
        "failed_chunks": progress.failed_chunks,
    }
