"""The collections that exist: the one place that reads and writes the catalog's table of collections."""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, case, delete, func, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.catalog import outbox
from storage.catalog.cache import CatalogCache
from storage.catalog.database import Database
from storage.catalog.project_tables import ProjectRow
from storage.catalog.statistics_table import QueryStatisticsRow
from storage.catalog.tables import CollectionRow, CollectionState
from vectoray.core.errors import CollectionExists
from vectoray.core.events import EventType
from vectoray.core.model import Collection
from vectoray.core.projects import Project

ANYONE: Final = "*"
"""Stands for every owner in a sequence of owners."""

ACTIVE = CollectionRow.state == CollectionState.ACTIVE.value

# A collection of a project is found through the project alone, whoever asks.
_OF_NO_PROJECT = CollectionRow.project_id.is_(None)


class Catalog:
    """Collections and their states; `by_id`, `by_name` and `page` leave out those of projects.

    Every method is one transaction, durable when it returns. Any method may raise `Unavailable` when the
    database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        """Where the collections are; others keep their own tables there."""
        self._cache: CatalogCache[Collection] = database.new_cache()

    @classmethod
    async def open(cls, url: str) -> "Catalog":
        """The catalog of the database at ``url``, an SQLAlchemy URL as for `Database.open`."""
        return cls(await Database.open(url))

    async def dispose(self) -> None:
        """Close the database."""
        await self.database.dispose()

    async def begin_create(self, collection: Collection, *, project: Project | None = None) -> None:
        """Reserve the collection's name; the collection becomes visible by `finish_create`.

        Args:
            collection: What to create.
            project: The new project whose chunks the collection is for, made with it.

        Raises:
            CollectionExists: Its owner has one of that name.
        """

        def work(session: Session) -> None:
            if project is not None:
                session.add(ProjectRow.of(project))
                session.flush()
            session.add(CollectionRow.of(collection, CollectionState.CREATING))

        try:
            await self.database.write(work)
        except IntegrityError:
            raise CollectionExists.of(collection.name) from None

    async def finish_create(self, collection_id: str) -> bool:
        """Make the collection visible, and note the event. False if it is being dropped or gone.

        Whoever finds it visible already finds the event noted.
        """

        def work(session: Session) -> bool:
            row = session.get(CollectionRow, collection_id, with_for_update=True)
            if row is None or row.state == CollectionState.DROPPING.value:
                return False
            if row.state == CollectionState.CREATING.value:
                row.state = CollectionState.ACTIVE.value
                outbox.put(session, EventType.COLLECTION_CREATED, row)
            return True

        return await self.database.write(work)

    async def change(
        self, collection_id: str, *, name: str | None, description: str | None, now: datetime
    ) -> bool:
        """Change what is given of an active collection. False if there is none.

        Raises:
            CollectionExists: Its owner has another one of that name.
        """
        changes: dict[str, Any] = {"updated_at": now}
        if name is not None:
            changes["name"] = name
        if description is not None:
            changes["description"] = description
        statement = (
            update(CollectionRow)
            .where(CollectionRow.id == collection_id, ACTIVE)
            .values(changes)
            .returning(CollectionRow)
        )

        def work(session: Session) -> bool:
            row = session.scalar(statement)
            if row is not None and name is not None:
                outbox.put(session, None, row)
            return row is not None

        try:
            return await self.database.write(work)
        except IntegrityError:
            raise CollectionExists.of(changes["name"]) from None

    async def begin_drop(self, collection_id: str) -> bool:
        """Hide the collection and free its name. False if somebody else did, or it is gone."""
        visible_or_new = (CollectionState.CREATING.value, CollectionState.ACTIVE.value)
        statement = (
            update(CollectionRow)
            .where(CollectionRow.id == collection_id, CollectionRow.state.in_(visible_or_new))
            .values(state=CollectionState.DROPPING.value)
            .returning(CollectionRow.id)
        )
        return await self.database.write(lambda session: session.scalar(statement)) is not None

    async def finish_drop(self, collection_id: str) -> None:
        """Forget a collection whose shards are gone, and note the event; and its project, if it is of one.

        Nothing happens if it is forgotten already. The event log leaves the end out of a collection whose
        beginning it does not have, since its creation failed.
        """

        def work(session: Session) -> None:
            # The row first: whoever adds to the statistics holds it until they are there to be found.
            row = session.get(CollectionRow, collection_id, with_for_update=True)
            if row is not None and row.state == CollectionState.DROPPING.value:
                outbox.put(session, EventType.COLLECTION_DELETED, row)
                session.delete(row)
                session.flush()
                session.execute(
                    delete(QueryStatisticsRow).where(QueryStatisticsRow.collection_id == collection_id)
                )
                if row.project_id is not None:
                    session.execute(delete(ProjectRow).where(ProjectRow.id == row.project_id))

        await self.database.write(work)

    async def unfinished(self) -> list[tuple[Collection, CollectionState]]:
        """The collections between begin and finish, oldest first."""
        statement = select(CollectionRow).where(~ACTIVE).order_by(CollectionRow.created_at, CollectionRow.id)
        rows = await self.database.read(lambda session: session.scalars(statement).all())
        return [(row.to_collection(), CollectionState(row.state)) for row in rows]

    async def active(self) -> list[Collection]:
        """Every active collection, those of projects as well, oldest first."""
        statement = select(CollectionRow).where(ACTIVE).order_by(CollectionRow.created_at, CollectionRow.id)
        rows = await self.database.read(lambda session: session.scalars(statement).all())
        return [row.to_collection() for row in rows]

    async def by_id(self, collection_id: str) -> Collection | None:
        """The active collection with this id."""
        return await self._remembered(collection_id, lambda: self._first(CollectionRow.id == collection_id))

    async def of_project(self, project_id: str) -> Collection | None:
        """The active collection of a project."""
        statement = select(CollectionRow).where(CollectionRow.project_id == project_id, ACTIVE)
        row = await self.database.read(lambda session: session.scalar(statement))
        return None if row is None else row.to_collection()

    async def by_name(
        self, owners: Sequence[str], name: str, *, among: frozenset[str] | None = None
    ) -> Collection | None:
        """The active collection of this name that belongs to the first possible of ``owners``.

        Args:
            owners: Best first. `ANYONE`, at the end, is everybody else, whoever's is the oldest.
            name: The collection's name.
            among: Ids; all other collections are left out. None leaves out none.
        """
        if not owners:
            return None
        key = (tuple(owners), name, among)
        return await self._remembered(key, lambda: self._first_of(owners, name, among))

    async def page(
        self,
        owners: Sequence[str],
        *,
        name: str | None = None,
        among: frozenset[str] | None = None,
        skip: int = 0,
        limit: int | None = None,
    ) -> tuple[list[Collection], int]:
        """Active collections of ``owners``, oldest first, and how many there are without the limit.

        ``owners`` and ``among`` are those of `by_name`.
        """
        condition = and_(belongs_to(owners, among), ACTIVE, _OF_NO_PROJECT)
        if name is not None:
            condition = and_(condition, CollectionRow.name == name)
        items = (
            select(CollectionRow)
            .where(condition)
            .order_by(CollectionRow.created_at, CollectionRow.id)
            .offset(skip)
            .limit(limit)
        )
        count = select(func.count()).select_from(CollectionRow).where(condition)
        rows, total = await self.database.read(
            lambda session: (session.scalars(items).all(), session.scalar(count) or 0)
        )
        return [row.to_collection() for row in rows], total

    async def _remembered(
        self, key: Hashable, find: Callable[[], Awaitable[Collection | None]]
    ) -> Collection | None:
        """What the cache has for ``key``, or else what ``find`` reads now."""
        found = self._cache.get(key)
        if found is None:
            as_of = self._cache.as_of
            found = await find()
            if found is not None:
                self._cache.keep(key, found, as_of=as_of)
        return found

    async def _first_of(
        self, owners: Sequence[str], name: str, among: frozenset[str] | None
    ) -> Collection | None:
        ranks = {owner: rank for rank, owner in enumerate(owners)}
        rank = case(ranks, value=CollectionRow.owner, else_=len(ranks))
        condition = and_(CollectionRow.name == name, belongs_to(owners, among))
        return await self._first(condition, rank, CollectionRow.created_at, CollectionRow.id)

    async def _first(
        self, condition: ColumnElement[bool], *order: SQLColumnExpression[Any]
    ) -> Collection | None:
        statement = select(CollectionRow).where(condition, ACTIVE, _OF_NO_PROJECT).order_by(*order).limit(1)
        row = await self.database.read(lambda session: session.scalar(statement))
        return row.to_collection() if row is not None else None


def belongs_to(owners: Sequence[str], among: frozenset[str] | None) -> ColumnElement[bool]:
    """The condition that a collection is one of ``owners``' and ``among`` those, as in `Catalog.by_name`."""
    owned = true() if ANYONE in owners else CollectionRow.owner.in_(owners)
    return owned if among is None else and_(owned, CollectionRow.id.in_(sorted(among)))
