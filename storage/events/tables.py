"""The tables of the event log, as SQLAlchemy models. They have nothing in common with the catalog's."""

from sqlalchemy import BigInteger, LargeBinary, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

FORMAT = 1


class EventBase(DeclarativeBase):
    """The event log's metadata."""


class HeadRow(EventBase):
    """The one row that whoever appends holds: offsets become visible in their order."""

    __tablename__ = "event_head"

    id: Mapped[int] = mapped_column(primary_key=True)
    format: Mapped[int]
    head: Mapped[int] = mapped_column(BigInteger)
    """The last offset that was given out."""
    kept_bytes: Mapped[int] = mapped_column(BigInteger)


class BatchRow(EventBase):
    """Consecutive events of one collection."""

    __tablename__ = "event_batches"

    last_offset: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    first_offset: Mapped[int] = mapped_column(BigInteger)
    appended_ms: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int]
    collection_id: Mapped[str] = mapped_column(String(36))
    collection: Mapped[str] = mapped_column(String(255))
    owner: Mapped[str] = mapped_column(String(255))
    # The last: a scan of the others reads none of its pages.
    events: Mapped[bytes] = mapped_column(LargeBinary)


class CursorRow(EventBase):
    """How far the events of one shard are in the log.

    There is one from the event of its collection's creation until that of its end.
    """

    __tablename__ = "event_cursors"

    collection_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    host: Mapped[int]
    collection: Mapped[str] = mapped_column(String(255))
    owner: Mapped[str] = mapped_column(String(255))
    published_seq: Mapped[int] = mapped_column(BigInteger)


class AnnouncedRow(EventBase):
    """An event of a collection's life that is in the log, so that it is not put there again."""

    __tablename__ = "event_announced"

    collection_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    type: Mapped[str] = mapped_column(String(64), primary_key=True)
    appended_ms: Mapped[int] = mapped_column(BigInteger)
