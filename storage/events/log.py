"""The event log: gives every event its place in one order, durably and once. For threads, not event loops.

Whoever appends holds the head's row to the end of the transaction, so that events become visible in the order
of their offsets, which have no holes, and a reader that has seen one has seen all before it. A shard's cursor
moves in the transaction that stores its events: however a process ends, each write has one event.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Condition
from time import time_ns
from typing import TypeVar

from sqlalchemy import Engine, delete, insert, select, text, tuple_, update
from sqlalchemy.orm import Session, sessionmaker

from storage.catalog import CollectionEvent
from storage.catalog.cache import ChangeCounter, OwnCommits, changes_of
from storage.catalog.database import database_errors, for_writing, open_database
from storage.events.batch import EventBatch, PackedEvents, pack_one, pack_runs
from storage.events.page import EventPage
from storage.events.shard_run import ShardKey, ShardRun
from storage.events.tables import FORMAT, AnnouncedRow, BatchRow, CursorRow, EventBase, HeadRow
from vectoray.core.errors import CorruptData
from vectoray.core.events import EventType, Gap

_T = TypeVar("_T")

# Any constant will do, as long as every process of every version uses the same one.
_CREATION_LOCK = 0x76656576

# What a batch takes beside its events, about.
_BATCH_BYTES = 256
_PAGE_BATCHES = 64
_PAGE_BYTES = 2**20
_SIZES_AT_ONCE = 1000
# Databases take only so many parameters in a statement.
_KEYS_AT_ONCE = 400


class EventLog:
    """The log in one database. Any method may raise `Unavailable` when that cannot be reached."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = sessionmaker(_of_one_moment(engine))
        self._writing = sessionmaker(for_writing(engine))
        self._calls = 0
        self._call_ended = Condition()

    @classmethod
    def open(cls, url: str) -> "EventLog":
        """The log of the database at ``url``, an SQLAlchemy URL with a blocking driver; an empty one if new.

        On SQLite it must not be the catalog's file: each commit to that empties every gateway's memory of it.

        Raises:
            CorruptData: The log has a format that this version does not read.
        """
        engine = open_database(url)
        try:
            with database_errors("event log"):
                _make_tables(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def dispose(self) -> None:
        """Close every connection, once the calls of other threads have ended."""
        with self._call_ended:
            self._call_ended.wait_for(lambda: not self._calls)
        self._engine.dispose()

    # Appending.

    def append(self, steps: Iterable[ShardRun]) -> dict[ShardKey, int | None]:
        """Store the events of shards' writes, all in one transaction.

        A step whose shard is not where the step begins is left out: its events are in the log already, or
        writes before it are not.

        Returns:
            For each shard, up to which write its events are in the log now; None if its collection's
            beginning is not in the log, or its end is.
        """
        # Before the lock: packing takes longer than storing.
        packed = [(step, pack_runs(step.runs) if step.runs else None) for step in steps]

        def work(session: Session) -> dict[ShardKey, int | None]:
            writer = _Appending(session)
            cursors = _cursors(session, [step.key for step, _ in packed])
            for step, events in packed:
                cursor = cursors.get(step.key)
                if cursor is None or cursor.published_seq != step.after_seq:
                    continue
                if events is not None:
                    writer.add(events, cursor.collection_id, cursor.collection, cursor.owner)
                cursor.published_seq = step.through_seq
            writer.finish()
            return {
                step.key: None if (cursor := cursors.get(step.key)) is None else cursor.published_seq
                for step, _ in packed
            }

        return self._write(work)

    def announce(self, events: Sequence[CollectionEvent]) -> None:
        """Store the beginnings and ends of collections, in this order, without those that are in the log.

        New names are taken over.

        From its beginning on a collection's shards may append, and from its end on they may not.
        """

        def work(session: Session) -> None:
            writer = _Appending(session)
            for event in events:
                if event.type is None:
                    _rename(session, event)
                    continue
                if session.get(AnnouncedRow, (event.collection_id, event.type.value)) is not None:
                    continue
                session.add(
                    AnnouncedRow(
                        collection_id=event.collection_id, type=event.type.value, appended_ms=_now_ms()
                    )
                )
                step = _begin if event.type is EventType.COLLECTION_CREATED else _end
                if step(session, event):
                    packed = pack_one(
                        event.type, event.ts_ms, {"dimension": event.dimension, "metric": event.metric}
                    )
                    writer.add(packed, event.collection_id, event.collection, event.owner)
            writer.finish()

        self._write(work)

    def begun(self) -> frozenset[str]:
        """The ids of the collections whose shards may append."""
        statement = select(CursorRow.collection_id).distinct()
        return frozenset(self._read(lambda session: session.scalars(statement).all()))

    def forget_announced(self, *, before_ms: int, but: Sequence[CollectionEvent]) -> None:
        """Forget which beginnings and ends are in the log: those that nobody can announce again.

        Args:
            before_ms: Unix time in milliseconds; what was announced later is remembered.
            but: What may yet be announced.
        """
        waiting = {(event.collection_id, event.type.value) for event in but if event.type is not None}

        def work(session: Session) -> None:
            old = select(AnnouncedRow).where(AnnouncedRow.appended_ms < before_ms)
            for row in session.scalars(old).all():
                if (row.collection_id, row.type) not in waiting:
                    session.delete(row)

        self._write(work)

    def published(self, keys: Sequence[ShardKey]) -> dict[ShardKey, int]:
        """Up to which write the events of shards are in the log; without those that may not append."""

        def work(session: Session) -> dict[ShardKey, int]:
            return {key: row.published_seq for key, row in _cursors(session, keys).items()}

        return self._read(work)

    def published_of_host(self, host: int) -> dict[ShardKey, int]:
        """As `published`, of every shard of one host."""
        columns = (CursorRow.collection_id, CursorRow.shard, CursorRow.published_seq)
        statement = select(*columns).where(CursorRow.host == host)
        rows = self._read(lambda session: session.execute(statement).all())
        return {ShardKey(collection_id, shard): seq for collection_id, shard, seq in rows}

    # Reading.

    def read(self, after: int) -> EventPage:
        """The oldest events after an offset that are kept: some batches of them, or none.

        The first batch may begin with events up to ``after``.
        """

        def work(session: Session) -> EventPage:
            head = _head(session)
            following = BatchRow.last_offset > after
            sizes = select(BatchRow.last_offset, BatchRow.size_bytes).where(following)
            oldest_first = sizes.order_by(BatchRow.last_offset).limit(_PAGE_BATCHES)
            through, size_bytes = after, 0
            for last_offset, batch_bytes in session.execute(oldest_first):
                if size_bytes and size_bytes + batch_bytes > _PAGE_BYTES:
                    break
                through, size_bytes = last_offset, size_bytes + batch_bytes
            rows = select(BatchRow).where(following, BatchRow.last_offset <= through)
            batches = [_batch_of(row) for row in session.scalars(rows.order_by(BatchRow.last_offset))]
            oldest = batches[0].first_offset if batches else head + 1
            gap = Gap(after + 1, oldest - 1) if oldest > after + 1 else None
            return EventPage(gap, tuple(batches))

        return self._read(work)

    @property
    def head(self) -> int:
        """The offset of the newest event; 0 before the first."""
        return self._read(_head)

    @property
    def oldest(self) -> int:
        """The offset of the oldest event that is kept; the next one's if none is."""

        def work(session: Session) -> int:
            head = _head(session)
            first = select(BatchRow.first_offset).order_by(BatchRow.last_offset).limit(1)
            return session.scalar(first) or head + 1

        return self._read(work)

    def changes(self) -> ChangeCounter:
        """Tells, without reading, whether anything may have been appended. To be closed.

        On PostgreSQL it says so twice a second, whether or not there was anything.
        """
        return changes_of(self._engine, OwnCommits())

    # Retention.

    def trim(self, *, before_ms: int, max_bytes: int) -> int:
        """Forget the oldest batches: those appended before a time, and those that are too much.

        Args:
            before_ms: Unix time in milliseconds.
            max_bytes: Of events that may be kept.

        Returns:
            How many batches were forgotten.
        """

        def work(session: Session) -> int:
            head = session.get_one(HeadRow, 1, with_for_update=True)
            kept_bytes, through, count = head.kept_bytes, 0, 0
            for last_offset, size_bytes, appended_ms in _sizes(session):
                if appended_ms >= before_ms and kept_bytes <= max_bytes:
                    break
                kept_bytes -= size_bytes
                through = last_offset
                count += 1
            if count:
                session.execute(delete(BatchRow).where(BatchRow.last_offset <= through))
                head.kept_bytes = kept_bytes
            return count

        return self._write(work)

    def _read(self, work: Callable[[Session], _T]) -> _T:
        with self._call(), self._reading.begin() as session:
            return work(session)

    def _write(self, work: Callable[[Session], _T]) -> _T:
        with self._call(), self._writing.begin() as session:
            return work(session)

    @contextmanager
    def _call(self) -> Iterator[None]:
        with self._call_ended:
            self._calls += 1
        try:
            with database_errors("event log"):
                yield
        finally:
            with self._call_ended:
                self._calls -= 1
                self._call_ended.notify_all()


class _Appending:
    """Gives out offsets within one transaction, which holds the head from its beginning to its end."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._head = session.get_one(HeadRow, 1, with_for_update=True)
        self._now_ms = _now_ms()
        self._rows: list[Mapping[str, object]] = []

    def add(self, events: PackedEvents, collection_id: str, collection: str, owner: str) -> None:
        first, size_bytes = self._head.head + 1, len(events.data) + _BATCH_BYTES
        self._head.head += events.rows
        self._head.kept_bytes += size_bytes
        self._rows.append(
            {
                "last_offset": self._head.head,
                "first_offset": first,
                "appended_ms": self._now_ms,
                "size_bytes": size_bytes,
                "collection_id": collection_id,
                "collection": collection,
                "owner": owner,
                "events": events.data,
            }
        )

    def finish(self) -> None:
        if self._rows:
            self._session.execute(insert(BatchRow), self._rows)


def _begin(session: Session, event: CollectionEvent) -> bool:
    """Let the shards of a new collection append."""
    for shard, host in enumerate(event.hosts):
        session.add(
            CursorRow(
                collection_id=event.collection_id,
                shard=shard,
                host=host,
                collection=event.collection,
                owner=event.owner,
                published_seq=0,
            )
        )
    session.flush()
    return True


def _rename(session: Session, event: CollectionEvent) -> None:
    """Give later events of a collection's shards its new name."""
    of_collection = update(CursorRow).where(CursorRow.collection_id == event.collection_id)
    session.execute(of_collection.values(collection=event.collection))


def _end(session: Session, event: CollectionEvent) -> bool:
    """Let the shards of a collection append no more. False if they never could."""
    ended = delete(CursorRow).where(CursorRow.collection_id == event.collection_id)
    return bool(session.scalars(ended.returning(CursorRow.shard)).all())


def _cursors(session: Session, keys: Sequence[ShardKey]) -> dict[ShardKey, CursorRow]:
    found: dict[ShardKey, CursorRow] = {}
    for at in range(0, len(keys), _KEYS_AT_ONCE):
        place = tuple_(CursorRow.collection_id, CursorRow.shard)
        some = [tuple(key) for key in keys[at : at + _KEYS_AT_ONCE]]
        for row in session.scalars(select(CursorRow).where(place.in_(some))):
            found[ShardKey(row.collection_id, row.shard)] = row
    return found


def _sizes(session: Session) -> Iterator[tuple[int, int, int]]:
    """The last offset, the size and the time of each batch, oldest first, in bounded memory."""
    columns = select(BatchRow.last_offset, BatchRow.size_bytes, BatchRow.appended_ms)
    through = 0
    while rows := session.execute(
        columns.where(BatchRow.last_offset > through).order_by(BatchRow.last_offset).limit(_SIZES_AT_ONCE)
    ).all():
        yield from rows
        through = rows[-1].last_offset


def _head(session: Session) -> int:
    return session.scalar(select(HeadRow.head)) or 0


def _batch_of(row: BatchRow) -> EventBatch:
    return EventBatch(
        first_offset=row.first_offset,
        last_offset=row.last_offset,
        collection_id=row.collection_id,
        collection=row.collection,
        owner=row.owner,
        packed=row.events,
    )


def _of_one_moment(engine: Engine) -> Engine:
    """The same engine, whose transactions see what was there when they began, as SQLite's do anyway."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ")


def _now_ms() -> int:
    return time_ns() // 1_000_000


def _make_tables(engine: Engine) -> None:
    """Make what is not there. Of several processes that do so at once, one does and the others wait."""
    with for_writing(engine).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})
        EventBase.metadata.create_all(connection)
        found = connection.scalar(select(HeadRow.format))
        if found is None:
            connection.execute(insert(HeadRow).values(id=1, format=FORMAT, head=0, kept_bytes=0))
        elif found != FORMAT:
            raise CorruptData("The event log has a format that this version does not read.")
