"""Keeps vectors of texts on this node's disk, for all processes that embed. Knows no models and no Ray.

It is a cache: whatever happens to its files, at worst vectors are computed again. A vector is given only if
its checksum, which covers the key too, is right. SQLite keeps the file whole when a process is killed, and
reports a truncated or overwritten one, where a database that maps its file would crash.
"""

import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import structlog
import xxhash

from vectoray.core.model import FloatMatrix, FloatVector

# Vectors of some hundred dimensions fill a page of this size with little waste.
_PAGE_BYTES = 16_384
# Beside the vector: its key twice, for the index, its checksum, and what SQLite adds.
_ROW_BYTES = 128
_CHECKSUM_BYTES = 16
_BUSY_TIMEOUT_S = 5.0
_ROWS_AT_ONCE = 500
# What is taken out goes in one piece, so that not every write takes out something.
_FULL, _AFTER_EVICTION, _MOST_AT_ONCE = 0.9, 0.8, 0.3

_SCHEMA = f"""
PRAGMA page_size = {_PAGE_BYTES};
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA journal_size_limit = {2**24};
CREATE TABLE IF NOT EXISTS vectors (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL
);
"""
# Of an error that says nothing about the file: busy, locked, full.
_PASSING = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL))

_log = structlog.get_logger(__name__)


class VectorCache:
    """Vectors by key, at most so many bytes of them; those not used for the longest go first.

    Any number of processes and threads may use the same folder. No method raises because of what is in it.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        """Name it; it is opened when it is first used.

        Args:
            folder: On a disk of this machine. Made if it is missing; it may be deleted at any time.
            max_bytes: Of the file. The log of latest writes beside it takes 16 MiB more.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._turn = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._given_up = False

    def get(self, keys: Sequence[bytes]) -> dict[bytes, FloatVector]:
        """The vectors that are there, float32, by their keys."""
        found: dict[bytes, FloatVector] = {}

        def read(connection: sqlite3.Connection) -> None:
            aging = []
            young = self._first_young(connection)
            for start in range(0, len(keys), _ROWS_AT_ONCE):
                for number, key, value in _rows(connection, keys[start : start + _ROWS_AT_ONCE]):
                    if value[-_CHECKSUM_BYTES:] != _checksum(key, value[:-_CHECKSUM_BYTES]):
                        continue
                    found[key] = np.frombuffer(value[:-_CHECKSUM_BYTES], dtype=np.float32)
                    if number < young:
                        aging.append((key, value))
            # A new number makes them young again.
            _write(connection, aging)

        self._attempt(read)
        return found

    def put(self, keys: Sequence[bytes], vectors: FloatMatrix) -> None:
        """Keep the vectors, shape (len(keys), dimension); or not, if that cannot be done now."""
        row_bytes = 4 * vectors.shape[1] + _ROW_BYTES
        rows = []
        for key, vector in zip(keys, vectors.astype("<f4", copy=False), strict=True):
            value = vector.tobytes()
            rows.append((key, value + _checksum(key, value)))
        rows = rows[: int(self._max_bytes * _MOST_AT_ONCE) // row_bytes]

        def write(connection: sqlite3.Connection) -> None:
            self._make_room(connection, len(rows) * row_bytes, row_bytes)
            _write(connection, rows)

        self._attempt(write)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._turn:
            self._close()

    def _attempt(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Work on the file. An error ends the work; a damaged file is replaced by a new one."""
        with self._turn:
            if self._given_up:
                return
            try:
                if self._connection is None:
                    self._connection = self._open(self._newest())
                work(self._connection)
            except OSError as error:
                self._give_up(error)
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF not in _PASSING:
                    self._replace(error)

    def _open(self, place: Path) -> sqlite3.Connection:
        place.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            place / "vectors.db", timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA max_page_count = {max(self._max_bytes // _PAGE_BYTES, 1)}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _newest(self) -> Path:
        """The file in use. Each has a folder of its own: SQLite would delete what belongs to another one."""
        numbers = [int(path.name) for path in self._folder.glob("*") if path.name.isdecimal()]
        return self._folder / str(max(numbers, default=0))

    def _replace(self, reason: sqlite3.Error) -> None:
        _log.warning("vector_cache_damaged", error=getattr(reason, "sqlite_errorname", None))
        self._close()
        damaged = self._newest()
        try:
            self._connection = self._open(self._folder / str(int(damaged.name) + 1))
            shutil.rmtree(damaged, ignore_errors=True)
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def _give_up(self, reason: Exception) -> None:
        _log.warning("vector_cache_off", kind=type(reason).__name__)
        self._close()
        self._given_up = True

    def _close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.close()
        self._connection = None

    def _first_young(self, connection: sqlite3.Connection) -> int:
        """Rows with lower numbers are in danger of going soon: the older half, when the file is half full."""
        if _used_bytes(connection) < self._max_bytes / 2:
            return 0
        [(oldest, newest)] = connection.execute(
            "SELECT (SELECT min(number) FROM vectors), (SELECT max(number) FROM vectors)"
        )
        return 0 if oldest is None else (oldest + newest) // 2

    def _make_room(self, connection: sqlite3.Connection, needed_bytes: int, row_bytes: int) -> None:
        """Take out the oldest rows if those to come would make the file too large."""
        if _used_bytes(connection) + needed_bytes <= self._max_bytes * _FULL:
            return
        while (
            excess := _used_bytes(connection) + needed_bytes - self._max_bytes * _AFTER_EVICTION
        ) > 0 and connection.execute(
            "DELETE FROM vectors WHERE number IN (SELECT number FROM vectors ORDER BY number LIMIT ?)",
            (int(excess) // row_bytes + 1,),
        ).rowcount:
            pass


def _rows(connection: sqlite3.Connection, keys: Sequence[bytes]) -> sqlite3.Cursor:
    marks = ",".join("?" * len(keys))
    return connection.execute(
        f"SELECT number, key, value FROM vectors WHERE key IN ({marks})",  # noqa: S608  (nothing but marks)
        keys,
    )


def _write(connection: sqlite3.Connection, rows: Sequence[tuple[bytes, bytes]]) -> None:
    if not rows:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany("INSERT OR REPLACE INTO vectors (key, value) VALUES (?, ?)", rows)
        connection.execute("COMMIT")
    except sqlite3.Error:
        # Some errors have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _used_bytes(connection: sqlite3.Connection) -> int:
    [(pages,)] = connection.execute("PRAGMA page_count")
    [(free,)] = connection.execute("PRAGMA freelist_count")
    return int(pages - free) * _PAGE_BYTES


def _checksum(key: bytes, vector: bytes) -> bytes:
    return xxhash.xxh3_128_digest(key + vector)
