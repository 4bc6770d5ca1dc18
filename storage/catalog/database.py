"""The catalog's database: opened, brought up to date, and spoken to in whole transactions. Knows no table."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

from storage.catalog.cache import CatalogCache, OwnCommits, changes_of
from vectoray.core.errors import Unavailable

_T = TypeVar("_T")
_THREADS = 4

# Any constant will do, as long as every process of every version uses the same one.
_MIGRATION_LOCK = 0x76656374

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
_SQLITE_BEGIN = "sqlite_begin"
_MIGRATIONS = Path(__file__).parent / "migrations"

# Alembic keeps the migration that runs in a module of its own: one at a time in a process.
_one_migration = threading.Lock()


class Database:
    """Transactions in threads of their own, so that one waiting for a lock holds up nobody else.

    A caller that is cancelled stops waiting; its transaction still ends as it would have. Any transaction may
    raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, engine: Engine, threads: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._threads = threads
        self._reading = sessionmaker(engine, expire_on_commit=False)
        self._writing = sessionmaker(for_writing(engine), expire_on_commit=False)
        self._commits = OwnCommits()
        self._caches: list[CatalogCache[Any]] = []

    @classmethod
    async def open(cls, url: str) -> "Database":
        """Connect to ``url`` and bring its tables up to date.

        Args:
            url: An SQLAlchemy URL with a blocking driver, such as ``sqlite:////data/catalog.db``.
        """
        engine = open_database(url)
        database = cls(engine, ThreadPoolExecutor(_THREADS, thread_name_prefix="catalog"))
        try:
            await database._in_thread(lambda: migrate(engine))
        except BaseException:
            await database.dispose()
            raise
        return database

    async def dispose(self) -> None:
        """Close every connection, once what is running has ended."""
        await asyncio.to_thread(self._threads.shutdown)
        for cache in self._caches:
            cache.close()
        self._engine.dispose()

    async def read(self, work: Callable[[Session], _T]) -> _T:
        """What ``work`` returns, from one transaction that only reads."""
        return await self._in_thread(lambda: _transaction(self._reading, work))

    async def write(self, work: Callable[[Session], _T]) -> _T:
        """What ``work`` returns, once the changes it makes are durable; if it raises, nothing is changed."""

        def transaction() -> _T:
            try:
                return _transaction(self._writing, work)
            finally:
                # Also where it seems to have failed: the commit may have come through.
                self._commits.add()

        return await self._in_thread(transaction)

    async def ping(self) -> bool:
        """True, once the database has answered."""
        return await self.read(lambda session: session.execute(text("SELECT 1")).scalar_one() == 1)

    def new_cache(self) -> CatalogCache[Any]:
        """Memory for what was read, which forgets it when the database changes. Closed with the database."""
        cache: CatalogCache[Any] = CatalogCache(changes_of(self._engine, self._commits))
        self._caches.append(cache)
        return cache

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        with database_errors("catalog"):
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _transaction(sessions: sessionmaker[Session], work: Callable[[Session], _T]) -> _T:
    with sessions.begin() as session:
        return work(session)


@contextmanager
def database_errors(what: str) -> Iterator[None]:
    """Say `Unavailable` where trying again may help; the driver's own words name hosts and files."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise Unavailable(f"The {what} cannot be reached now.") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable(f"The {what} cannot be reached now.") from error
        raise


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file, whatever characters its path has."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def with_driver(url: str) -> str:
    """The URL of an SQLite or PostgreSQL database, with the driver that is installed for it.

    Raises:
        ValueError: It is no such URL. What it is, is not said: it may hold a password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("not the URL of a database") from None
    driver = _DRIVERS.get(parsed.get_backend_name())
    if driver is None or not parsed.database:
        raise ValueError("not the URL of an SQLite or PostgreSQL database with its name") from None
    return parsed.set(drivername=driver).render_as_string(hide_password=False)


def open_database(url: str) -> Engine:
    """Make an engine for ``url``, such as ``sqlite:////data/catalog.db``.

    On SQLite a new file is readable by its owner alone, every commit is synced to the disk, readers and the
    writer do not wait for each other (WAL), and a process that finds the database locked waits for ten
    seconds.
    """
    parsed = make_url(url)
    # Without the values of a statement in its errors: hashes of passwords are among them.
    engine = create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite", hide_parameters=True)
    if parsed.get_backend_name() == "sqlite":
        _make_private(parsed)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def for_writing(engine: Engine) -> Engine:
    """The same engine, whose transactions take SQLite's write lock when they begin.

    One that reads first and asks for the lock later fails at once when another process has written between.
    """
    return engine.execution_options(**{_SQLITE_BEGIN: "BEGIN IMMEDIATE"})


def migrate(engine: Engine) -> None:
    """Bring the tables up to date. Several processes may do so at once: one does, the others wait."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with _one_migration, for_writing(engine).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _make_private(url: URL) -> None:
    """Make the file readable by its owner alone if it is not there; SQLite's other files take after it."""
    if url.database and url.database != ":memory:":
        # What is wrong with the path, SQLite says in its own words.
        with suppress(OSError):
            Path(url.database).touch(mode=0o600)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver must not begin transactions on its own: _begin_sqlite says how.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_SQLITE_BEGIN, "BEGIN"))
