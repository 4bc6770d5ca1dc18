"""Ingestion jobs as their owners see and change them. Who runs them is in `storage.catalog.job_runs`.

Every change of state is one UPDATE that names the states it may start from, so of several processes that want
to change a job, those that come too late change nothing and are told so. Of a job whose collection is being
dropped, nothing is to be seen.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, null, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.catalog.catalog import ACTIVE, belongs_to
from storage.catalog.database import Database
from storage.catalog.ingestion_tables import JobRow, UploadRow, chunking_document
from storage.catalog.tables import CollectionRow
from storage.catalog.work_tables import AT_ONCE
from vectoray.core.ingestion import UNFINISHED, Chunking, Job, JobStatus

# Asked of each row: as a list of collections, SQLite would begin with that, and read all jobs that ever were.
IN_ACTIVE = exists().where(CollectionRow.id == JobRow.collection_id, ACTIVE).correlate(JobRow)
"""The condition that a job's collection is not being dropped."""

_NEW_RUN: dict[str, Any] = {
    "status": JobStatus.PENDING.value,
    "run": JobRow.run + 1,
    "total_chunks": 0,
    "processed_chunks": 0,
    "failed_chunks": 0,
    "error": None,
    "started_at": None,
    "completed_at": None,
    "tries": 0,
}


class Jobs:
    """Every method is one transaction, durable when it returns.

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
        statement = _select().where(JobRow.id.in_(job_ids), IN_ACTIVE)
        rows = await self._database.read(lambda session: session.execute(statement).all())
        jobs = {row.id: row.to_job(upload) for row, upload in rows}
        return [jobs.get(job_id) for job_id in job_ids]

    async def of_file(self, collection_id: str, file_name: str, *, limit: int) -> list[Job]:
        """The jobs of a collection whose uploads are called ``file_name``, newest first."""
        condition = and_(JobRow.collection_id == collection_id, UploadRow.file_name == file_name, IN_ACTIVE)
        statement = _select().where(condition).order_by(JobRow.created_at.desc(), JobRow.id).limit(limit)
        rows = await self._database.read(lambda session: session.execute(statement).all())
        return [row.to_job(upload) for row, upload in rows]

    async def worker_of(self, job_id: str) -> str | None:
        """The id of the worker that has a job now; None if nobody has."""
        statement = select(JobRow.worker).where(JobRow.id == job_id, JobRow.lease.is_not(None))
        return await self._database.read(lambda session: session.scalar(statement))

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
        """Cancel a job that is not finished. False if it is, or there is none.

        Whoever runs it keeps the lease until what the run has written is removed. If nobody does, somebody
        takes it to remove that.
        """
        values = {
            "status": JobStatus.CANCELLED.value,
            "updated_at": now,
            "completed_at": now,
            "due_at": case(
                (JobRow.lease.is_not(None), JobRow.due_at), (JobRow.partial, AT_ONCE), else_=null()
            ),
        }
        return await self._move(JobRow.id == job_id, UNFINISHED, values) is not None

    async def restart(
        self, job_id: str, starts: frozenset[JobStatus], chunking: Chunking, now: datetime
    ) -> Job | None:
        """Let a job that is in one of the states ``starts`` run anew, cutting as ``chunking`` says.

        It begins once nobody has the lease of an earlier run any more.

        Returns:
            The job as it is now; None if it is in another state, or there is none.
        """
        values = {
            **_NEW_RUN,
            "chunking": chunking_document(chunking),
            "updated_at": now,
            "due_at": case((JobRow.lease.is_not(None), JobRow.due_at), else_=AT_ONCE),
        }
        return await self._move(JobRow.id == job_id, starts, values)

    async def _move(
        self, condition: ColumnElement[bool], starts: frozenset[JobStatus], values: dict[str, Any]
    ) -> Job | None:
        """Change the job that meets a condition and is in one of the states ``starts``."""
        statement = (
            update(JobRow)
            .where(condition, JobRow.status.in_(sorted(status.value for status in starts)), IN_ACTIVE)
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
