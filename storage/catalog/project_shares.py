"""Shares of projects: the one place that reads and writes their table of the catalog."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from storage.catalog.account_tables import UserRow
from storage.catalog.database import Database
from storage.catalog.project_tables import ProjectRow, ProjectShareRow
from storage.catalog.projects import locked_project
from storage.catalog.tables import CollectionRow, CollectionState
from vectoray.core.errors import Conflict
from vectoray.core.projects import Project, ProjectShare


@dataclass(frozen=True, slots=True)
class SharedProject:
    """A project that somebody shared with a user."""

    project: Project
    owner_email: str
    shared_at: datetime


class ProjectShares:
    """Every method is one transaction, durable when it returns.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, share: ProjectShare) -> bool:
        """Keep a new share. False if the project is gone.

        Raises:
            Conflict: The project is shared with this user already, or has a token already.
        """

        def work(session: Session) -> bool:
            if locked_project(session, share.project) is None:
                return False
            is_such = (
                ProjectShareRow.token.is_not(None)
                if share.user is None
                else ProjectShareRow.user_id == share.user
            )
            statement = select(ProjectShareRow).where(ProjectShareRow.project_id == share.project, is_such)
            if session.scalar(statement) is not None:
                raise Conflict(
                    "The project has a share token already; use that one, or delete its share first."
                    if share.user is None
                    else "The project is shared with this user already."
                )
            session.add(ProjectShareRow.of(share))
            return True

        return await self._database.write(work)

    async def of_project(self, project_id: str) -> list[ProjectShare]:
        """A project's shares, oldest first."""
        statement = (
            select(ProjectShareRow)
            .where(ProjectShareRow.project_id == project_id)
            .order_by(ProjectShareRow.created_at, ProjectShareRow.id)
        )
        rows = await self._database.read(lambda session: session.scalars(statement).all())
        return [row.to_share() for row in rows]

    async def remove(self, project_id: str, share_id: str) -> bool:
        """Forget a share of a project: from now on it opens nothing. False if there is no such share."""
        statement = (
            delete(ProjectShareRow)
            .where(ProjectShareRow.project_id == project_id, ProjectShareRow.id == share_id)
            .returning(ProjectShareRow.id)
        )
        return await self._database.write(lambda session: session.scalar(statement)) is not None

    async def shared_with(self, user_id: str) -> list[SharedProject]:
        """The projects that others shared with a user, those shared first coming first."""
        statement = (
            select(ProjectRow, UserRow.email, ProjectShareRow.created_at)
            .join(ProjectShareRow, ProjectShareRow.project_id == ProjectRow.id)
            .join(UserRow, UserRow.id == ProjectRow.user_id)
            .join(CollectionRow, CollectionRow.project_id == ProjectRow.id)
            .where(ProjectShareRow.user_id == user_id, CollectionRow.state == CollectionState.ACTIVE.value)
            .order_by(ProjectShareRow.created_at, ProjectShareRow.id)
        )
        rows = await self._database.read(lambda session: session.execute(statement).all())
        return [SharedProject(row.to_project(), email, shared_at) for row, email, shared_at in rows]
