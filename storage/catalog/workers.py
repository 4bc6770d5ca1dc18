"""The processes that work on jobs and URLs: that they live, what they have, and what waits for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from storage.catalog.database import Database
from storage.catalog.ingestion_tables import JobRow
from storage.catalog.jobs import IN_ACTIVE
from storage.catalog.project_tables import ProjectUrlRow
from storage.catalog.work_tables import WorkerRow
from vectoray.core.ingestion import JobStatus

_FORGOTTEN_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that works on jobs and URLs.

    Attributes:
        id: UUID, of this process alone.
        running: How many it has.
    """

    id: str
    started_at: datetime
    seen_at: datetime
    running: int


class Workers:
    """Every method is one transaction, durable when it returns.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def beat(self, worker: Worker, leases: Sequence[str], until: datetime) -> None:
        """Say that a worker lives, and renew its leases. One that somebody else has by now stays lost."""

        def work(session: Session) -> None:
            session.merge(
                WorkerRow(
                    id=worker.id,
                    started_at=worker.started_at,
                    seen_at=worker.seen_at,
                    running=worker.running,
                )
            )
            session.execute(delete(WorkerRow).where(WorkerRow.seen_at < worker.seen_at - _FORGOTTEN_AFTER))
            if leases:
                for row in (JobRow, ProjectUrlRow):
                    session.execute(update(row).where(row.lease.in_(leases)).values(due_at=until))

        await self._database.write(work)

    async def leave(self, worker_id: str) -> None:
        """Say that a worker ends in good order."""
        statement = delete(WorkerRow).where(WorkerRow.id == worker_id)
        await self._database.write(lambda session: session.execute(statement))

    async def seen_since(self, since: datetime) -> list[Worker]:
        """The workers that were seen at a time, or after it."""
        statement = select(WorkerRow).where(WorkerRow.seen_at >= since).order_by(WorkerRow.started_at)
        rows = await self._database.read(lambda session: session.scalars(statement).all())
        return [Worker(row.id, row.started_at, row.seen_at, row.running) for row in rows]

    async def count_jobs(self) -> dict[JobStatus, int]:
        """How many jobs are pending, and how many run."""
        counted = (JobStatus.PENDING, JobStatus.PROCESSING)
        statement = (
            select(JobRow.status, func.count())
            .where(JobRow.status.in_([status.value for status in counted]), IN_ACTIVE)
            .group_by(JobRow.status)
        )
        rows = await self._database.read(lambda session: session.execute(statement).all())
        return {**dict.fromkeys(counted, 0), **{JobStatus(status): count for status, count in rows}}
