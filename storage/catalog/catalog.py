"""The collections that exist: the one place that reads and writes the catalog's tables."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import ColumnElement, Engine, and_, case, delete, func, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

from storage.catalog.cache import CollectionCache, changes_of
from storage.catalog.database import for_writing, migrate, open_database
from storage.catalog.tables import CollectionRow, CollectionState
from vectoray.core.errors import CollectionExists, Unavailable
from vectoray.core.model import Collection

_T = TypeVar("_T")
_ACTIVE = CollectionRow.state == CollectionState.ACTIVE.value
_THREADS = 4


class Catalog:
    """Collections and their states. Every method is one transaction, durable when it returns.

    The database is spoken to from threads of the catalog's own, so that one waiting for a lock holds up
    neither the event loop nor anybody else's threads. A caller that is cancelled stops waiting; its
    transaction still ends as it would have.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, engine: Engine, threads: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._threads = threads
        self._reading = sessionmaker(engine, expire_on_commit=False)
        self._writing = sessionmaker(for_writing(engine), expire_on_commit=False)
        self._cache: CollectionCache | None = None

    @classmethod
    async def open(cls, url: str) -> "Catalog":
        """Connect to ``url`` and bring its tables up to date.

        Args:
            url: An SQLAlchemy URL with a blocking driver, such as ``sqlite:////data/catalog.db``.
        """
        engine = open_database(url)
        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="catalog")
        catalog = cls(engine, threads)
        try:
            await catalog._in_thread(lambda: migrate(engine))
            catalog._cache = CollectionCache(changes_of(engine))
        except BaseException:
            await catalog.dispose()
            raise
        return catalog

    async def dispose(self) -> None:
        """Close every connection, once what is running has ended."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._cache is not None:
            self._cache.close()
        self._engine.dispose()

    async def begin_create(self, collection: Collection) -> None:
        """Reserve the collection's name; the collection becomes visible by `finish_create`.

        Raises:
            CollectionExists: Its owner has one of that name.
        """
        try:
            await self._write(
                lambda session: session.add(CollectionRow.of(collection, CollectionState.CREATING))
            )
        except IntegrityError:
            raise CollectionExists.of(collection.name) from None

    async def finish_create(self, collection_id: str) -> bool:
        """Make the collection visible. False if it is being dropped or gone."""
        return await self._move(collection_id, CollectionState.ACTIVE)

    async def begin_drop(self, collection_id: str) -> bool:
        """Hide the collection and free its name. False if somebody else did, or it is gone."""
        return await self._move(collection_id, CollectionState.DROPPING)

    async def finish_drop(self, collection_id: str) -> None:
        """Forget a collection whose shards are gone. Nothing happens if it is forgotten already."""
        condition = and_(
            CollectionRow.id == collection_id, CollectionRow.state == CollectionState.DROPPING.value
        )
        await self._write(lambda session: session.execute(delete(CollectionRow).where(condition)))

    async def unfinished(self) -> list[tuple[Collection, CollectionState]]:
        """The collections between begin and finish, oldest first."""
        statement = select(CollectionRow).where(~_ACTIVE).order_by(CollectionRow.created_at, CollectionRow.id)
        rows = await self._read(lambda session: session.scalars(statement).all())
        return [(row.to_collection(), CollectionState(row.state)) for row in rows]

    async def by_id(self, collection_id: str) -> Collection | None:
        """The active collection with this id."""
        return await self._remembered(collection_id, lambda: self._first(CollectionRow.id == collection_id))

    async def by_name(self, owners: Sequence[str], name: str) -> Collection | None:
        """The active collection of this name that belongs to the first possible of ``owners``."""
        if not owners:
            return None
        return await self._remembered((tuple(owners), name), lambda: self._first_of(owners, name))

    async def page(
        self, owners: Sequence[str], *, name: str | None = None, skip: int = 0, limit: int | None = None
    ) -> tuple[list[Collection], int]:
        """Active collections of ``owners``, oldest first, and how many there are without the limit."""
        condition = and_(CollectionRow.owner.in_(owners), _ACTIVE)
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
        rows, total = await self._read(
            lambda session: (session.scalars(items).all(), session.scalar(count) or 0)
        )
        return [row.to_collection() for row in rows], total

    async def _move(self, collection_id: str, target: CollectionState) -> bool:
        visible_or_new = (CollectionState.CREATING.value, CollectionState.ACTIVE.value)
        statement = (
            update(CollectionRow)
            .where(CollectionRow.id == collection_id, CollectionRow.state.in_(visible_or_new))
            .values(state=target.value)
            .returning(CollectionRow.id)
        )
        return await self._write(lambda session: session.scalar(statement)) is not None

    async def _remembered(
        self, key: Hashable, find: Callable[[], Awaitable[Collection | None]]
    ) -> Collection | None:
        """What the cache has for ``key``, or else what ``find`` reads now."""
        if self._cache is None:
            return await find()
        found = self._cache.get(key)
        if found is None:
            as_of = self._cache.as_of
            found = await find()
            if found is not None:
                self._cache.keep(key, found, as_of=as_of)
        return found

    async def _first_of(self, owners: Sequence[str], name: str) -> Collection | None:
        rank = case({owner: rank for rank, owner in enumerate(owners)}, value=CollectionRow.owner)
        condition = and_(CollectionRow.name == name, CollectionRow.owner.in_(owners))
        return await self._first(condition, rank)

    async def _first(self, condition: ColumnElement[bool], *order: ColumnElement[int]) -> Collection | None:
        statement = select(CollectionRow).where(condition, _ACTIVE).order_by(*order).limit(1)
        row = await self._read(lambda session: session.scalar(statement))
        return row.to_collection() if row is not None else None

    async def _read(self, work: Callable[[Session], _T]) -> _T:
        return await self._in_thread(lambda: _transaction(self._reading, work))

    async def _write(self, work: Callable[[Session], _T]) -> _T:
        return await self._in_thread(lambda: _transaction(self._writing, work))

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        with _database_errors():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _transaction(sessions: sessionmaker[Session], work: Callable[[Session], _T]) -> _T:
    with sessions.begin() as session:
        return work(session)


@contextmanager
def _database_errors() -> Iterator[None]:
    """Say `Unavailable` where trying again may help; the driver's own words name hosts and files."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise Unavailable("The catalog of collections cannot be reached now.") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable("The catalog of collections cannot be reached now.") from error
        raise
