"""Projects: whose they are, who may read them, and which collection holds their chunks.

A project is made and dropped together with its collection, by `storage.catalog.Catalog`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import Session

from storage.catalog.database import Database
from storage.catalog.project_tables import ProjectRow, ProjectShareRow, hash_of_token
from storage.catalog.tables import CollectionRow, CollectionState
from vectoray.core.model import Collection
from vectoray.core.projects import Project


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who may read what is theirs, and what was shared with them.

    Attributes:
        user: Id of the user; empty for somebody who has a token alone.
        share_token: What they were given, whether it is right or not.
    """

    user: str
    share_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class StoredProject:
    """A project and the collection of its chunks."""

    project: Project
    collection: Collection


class Projects:
    """Projects whose collection is active. Every method is one transaction, durable when it returns.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_user(self, user_id: str) -> list[Project]:
        """A user's own projects, oldest first."""
        found = await self._find(ProjectRow.user_id == user_id)
        return [one.project for one in found]

    async def readable(self, reader: Reader, ids: Sequence[str] | None = None) -> list[StoredProject]:
        """The projects that ``reader`` may read, oldest first.

        Args:
            reader: Who wants to.
            ids: Only these; None for all.
        """
        shared = [ProjectShareRow.user_id == reader.user]
        if reader.share_token is not None:
            shared.append(ProjectShareRow.token_hash == hash_of_token(reader.share_token))
        share = exists().where(ProjectShareRow.project_id == ProjectRow.id, or_(*shared))
        conditions = [or_(ProjectRow.user_id == reader.user, share)]
        if ids is not None:
            conditions.append(ProjectRow.id.in_(ids))
        return await self._find(*conditions)

    async def rename(self, project_id: str, name: str) -> Project | None:
        """Change a project's name. None if it is gone."""

        def work(session: Session) -> Project | None:
            row = locked_project(session, project_id)
            if row is None:
                return None
            row.name = name
            return row.to_project()

        return await self._database.write(work)

    async def _find(self, *conditions: ColumnElement[bool]) -> list[StoredProject]:
        statement = (
            select(ProjectRow, CollectionRow)
            .join(CollectionRow, CollectionRow.project_id == ProjectRow.id)
            .where(CollectionRow.state == CollectionState.ACTIVE.value, *conditions)
            .order_by(ProjectRow.created_at, ProjectRow.id)
        )
        rows = await self._database.read(lambda session: session.execute(statement).all())
        return [StoredProject(project.to_project(), row.to_collection()) for project, row in rows]


def locked_project(session: Session, project_id: str) -> ProjectRow | None:
    """An active project, whose URLs and shares nobody else changes until the transaction ends.

    SQLite locks the database instead.
    """
    statement = (
        select(ProjectRow)
        .join(CollectionRow, CollectionRow.project_id == ProjectRow.id)
        .where(ProjectRow.id == project_id, CollectionRow.state == CollectionState.ACTIVE.value)
        .with_for_update(of=ProjectRow)
    )
    return session.scalar(statement)
