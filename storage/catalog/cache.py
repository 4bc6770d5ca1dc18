"""Remembers what was read for as long as the catalog's database has not changed.

Every search begins by finding its collection and, where one was sent, by checking a credential. Asking the
database means a thread and an SQL statement; asking whether anything was committed since means a number in
memory that SQLite shares between processes.
"""

import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Engine

_V = TypeVar("_V")

# About a kilobyte each.
_MOST_KEPT = 4096

# A database on another machine cannot be asked without waiting for it. What another process drops stays
# findable for so long, and is then answered by shards that are gone: unavailable, never wrong. A credential
# that another process revokes may be used for so long.
_REMEMBERED_S = 0.5


class ChangeCounter(Protocol):
    """Tells whether a database may have changed."""

    def read(self) -> int | None:
        """A number that differs from every earlier one if anything was committed between; None if unknown.

        Never waits, neither for a lock nor for the network.
        """

    def close(self) -> None:
        """Release what the counter holds."""


class SqliteChanges:
    """SQLite's ``data_version`` on a connection that serves nothing else.

    It changes when any other connection commits, of this process or another, before that commit returns. A
    read takes about 2 microseconds and, the database being in WAL mode, does not wait for a writer.
    """

    def __init__(self, path: str) -> None:
        # Without a timeout: where another mode or a recovery holds the lock, the answer is "unknown".
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        self._cursor = self._connection.cursor()

    def read(self) -> int | None:
        """As `ChangeCounter.read`."""
        try:
            row = self._cursor.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return None
        return int(row[0])

    def close(self) -> None:
        """As `ChangeCounter.close`."""
        self._connection.close()


class OwnCommits:
    """How many transactions that write have ended in this process, counted in whatever thread they ended."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        """One more has ended."""
        with self._lock:
            self.count += 1


class ClockTicks:
    """A number that changes with time and our own commits, for databases that cannot be asked at once."""

    def __init__(self, own: OwnCommits) -> None:
        self._own = own

    def read(self) -> int | None:
        """As `ChangeCounter.read`, but late by up to half a second for what other processes commit."""
        return int(time.monotonic() / _REMEMBERED_S) << 64 | self._own.count

    def close(self) -> None:
        """Nothing is held."""


class CatalogCache(Generic[_V]):
    """What was found last. What was not found is not remembered. For one event loop alone."""

    def __init__(self, changes: ChangeCounter, *, most: int = _MOST_KEPT) -> None:
        self._changes = changes
        self._most = most
        self._as_of: int | None = None
        self._found: OrderedDict[Hashable, _V] = OrderedDict()

    def get(self, key: Hashable) -> _V | None:
        """What is remembered for ``key``, if it is what the database would say now."""
        self._forget_if_changed()
        found = self._found.get(key)
        if found is not None:
            self._found.move_to_end(key)
        return found

    @property
    def as_of(self) -> int | None:
        """The state of the database that is remembered. To be taken before a read whose result is kept."""
        return self._as_of

    def keep(self, key: Hashable, found: _V, *, as_of: int | None) -> None:
        """Remember what was read after ``as_of`` was taken.

        A commit between the two is found by the next `get`, and one that has been found already means that
        the read may be older than what is remembered now: it is not kept.
        """
        if as_of is None or as_of != self._as_of:
            return
        self._found[key] = found
        if len(self._found) > self._most:
            self._found.popitem(last=False)

    def close(self) -> None:
        """Forget everything and release the counter."""
        self._found.clear()
        self._as_of = None
        self._changes.close()

    def _forget_if_changed(self) -> None:
        now = self._changes.read()
        if now is None or now != self._as_of:
            self._found.clear()
            self._as_of = now


def changes_of(engine: Engine, own: OwnCommits) -> ChangeCounter:
    """The counter for an engine's database. The file must be there already.

    Args:
        engine: Of the database.
        own: Counted up after each commit through ``engine``.
    """
    path = engine.url.database
    if engine.url.get_backend_name() == "sqlite" and path and path != ":memory:":
        return SqliteChanges(path)
    return ClockTicks(own)
