"""The URLs of projects: submitted once each, counted, and made pending again.

Who works on them is in `storage.catalog.url_runs`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.catalog.database import Database
from storage.catalog.project_tables import ProjectUrlRow
from storage.catalog.projects import locked_project
from vectoray.core.errors import LimitExceeded
from vectoray.core.projects import FINISHED, ProjectUrl, UrlStatus

# Databases bound how many values a statement may have.
_VALUES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of URLs that were submitted together.

    Attributes:
        submitted: Those that are pending now because of it, in the order given.
        duplicates: Those that the project had already, as they are, each once. One given twice is in both.
    """

    submitted: Sequence[ProjectUrl]
    duplicates: Sequence[ProjectUrl]


class ProjectUrls:
    """Every method is one transaction, durable when it returns.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def submit(self, project_id: str, urls: Sequence[ProjectUrl], *, most: int) -> Submission | None:
        """Keep those of ``urls`` that the project does not have, and try those again that failed.

        Args:
            project_id: Where to.
            urls: New ones, pending. One that failed before keeps its id and gets nothing of the new one.
            most: How many URLs a project may have.

        Returns:
            What became of them; None if the project is gone.

        Raises:
            LimitExceeded: There would be more than ``most``; nothing is kept.
        """

        def work(session: Session) -> Submission | None:
            if locked_project(session, project_id) is None:
                return None
            rows = _rows_by_url(session, project_id, [url.url for url in urls])
            submitted: dict[str, ProjectUrlRow] = {}
            duplicates: dict[str, ProjectUrlRow] = {}
            for url in urls:
                row = rows.get(url.url)
                if row is None:
                    row = rows[url.url] = submitted[url.id] = ProjectUrlRow.of(url)
                    session.add(row)
                elif row.status == UrlStatus.FAILED.value:
                    row.begin_attempt(url.submitted_at)
                    submitted[row.id] = row
                else:
                    duplicates[row.id] = row
            session.flush()
            _check_count(session, project_id, most)
            return Submission(
                [row.to_url() for row in submitted.values()], [row.to_url() for row in duplicates.values()]
            )

        return await self._database.write(work)

    async def of_project(self, project_id: str, status: UrlStatus | None = None) -> list[ProjectUrl]:
        """A project's URLs, oldest first; only those of a status if one is given."""
        statement = select(ProjectUrlRow).where(ProjectUrlRow.project_id == project_id)
        if status is not None:
            statement = statement.where(ProjectUrlRow.status == status.value)
        ordered = statement.order_by(ProjectUrlRow.submitted_at, ProjectUrlRow.id)
        rows = await self._database.read(lambda session: session.scalars(ordered).all())
        return [row.to_url() for row in rows]

    async def find(self, ids: Sequence[str]) -> dict[str, ProjectUrl]:
        """The URLs with these ids, by id, of any project."""

        def work(session: Session) -> list[ProjectUrlRow]:
            return [
                row
                for part in _parts(ids)
                for row in session.scalars(select(ProjectUrlRow).where(ProjectUrlRow.id.in_(part)))
            ]

        return {row.id: row.to_url() for row in await self._database.read(work)}

    async def begin_attempt(
        self, url_id: str, now: datetime, *, of: frozenset[UrlStatus] = FINISHED
    ) -> ProjectUrl | None:
        """Make a URL pending again, as a new attempt, if its status is one of ``of``.

        Of one that is being worked on, whoever does can change nothing any more.

        Returns:
            The URL as it is now; None if it is gone.
        """

        def work(session: Session) -> ProjectUrl | None:
            row = session.scalar(select(ProjectUrlRow).where(ProjectUrlRow.id == url_id).with_for_update())
            if row is None:
                return None
            if UrlStatus(row.status) in of:
                row.begin_attempt(now)
            return row.to_url()

        return await self._database.write(work)

    async def count(self, statuses: Sequence[UrlStatus]) -> dict[UrlStatus, int]:
        """How many URLs of all projects have each of these statuses."""
        statement = (
            select(ProjectUrlRow.status, func.count())
            .where(ProjectUrlRow.status.in_([status.value for status in statuses]))
            .group_by(ProjectUrlRow.status)
        )
        rows = await self._database.read(lambda session: session.execute(statement).all())
        return {**dict.fromkeys(statuses, 0), **{UrlStatus(status): count for status, count in rows}}


def _rows_by_url(session: Session, project_id: str, urls: Sequence[str]) -> dict[str, ProjectUrlRow]:
    of_project = select(ProjectUrlRow).where(ProjectUrlRow.project_id == project_id)
    return {
        row.url: row
        for part in _parts(urls)
        for row in session.scalars(of_project.where(ProjectUrlRow.url.in_(part)))
    }


def _parts(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[at : at + _VALUES_AT_ONCE] for at in range(0, len(values), _VALUES_AT_ONCE)]


def _check_count(session: Session, project_id: str, most: int) -> None:
    statement = select(func.count()).select_from(ProjectUrlRow).where(ProjectUrlRow.project_id == project_id)
    count = session.scalar(statement) or 0
    if count > most:
        raise LimitExceeded(
            f"The project would have {count} URLs, at most {most} are allowed; use another project.",
            {"limit": most},
        )
