"""The outbox: what happened to collections and is yet to be put into the event log.

A row is written in the transaction in which it happens, and removed once the event log has it. A crash
between the two leaves the row, and the event log does not take it twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import time_ns
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from storage.catalog.database import Database
from storage.catalog.tables import CollectionRow, OutboxRow
from vectoray.core.events import EventType
from vectoray.core.model import Collection

NOBODY: Final = ""
"""Owns, as far as those who follow events are concerned, what belongs to a project."""


@dataclass(frozen=True, slots=True)
class CollectionEvent:
    """The beginning or the end of a collection, or its new name.

    Attributes:
        id: Its place in the outbox: later events have larger ones.
        type: `EventType.COLLECTION_CREATED` or `EventType.COLLECTION_DELETED`; None for a new name, of which
            nobody is told, but under which later events come.
        ts_ms: Unix time in milliseconds.
        collection: Its name.
        hosts: For each shard, the number of the host that owns it.
    """

    id: int
    type: EventType | None
    ts_ms: int
    collection_id: str
    collection: str
    owner: str
    hosts: tuple[int, ...]
    dimension: int
    metric: str

    @classmethod
    def creation_of(cls, collection: Collection) -> "CollectionEvent":
        """The beginning of a collection that is there, whether or not it was in the outbox."""
        return cls(
            id=0,
            type=EventType.COLLECTION_CREATED,
            ts_ms=int(collection.created_at.timestamp() * 1000),
            collection_id=collection.id,
            collection=collection.name,
            owner=collection.owner if collection.project_id is None else NOBODY,
            hosts=collection.hosts,
            dimension=collection.dimension,
            metric=collection.metric.value,
        )


def put(session: Session, kind: EventType | None, row: CollectionRow) -> None:
    """Note, with whatever else the transaction does, what happens to a collection."""
    session.add(
        OutboxRow(
            type=None if kind is None else kind.value,
            ts_ms=time_ns() // 1_000_000,
            collection_id=row.id,
            collection=row.name,
            owner=row.owner if row.project_id is None else NOBODY,
            hosts=list(row.hosts),
            dimension=row.dimension,
            metric=row.metric,
        )
    )


class Outbox:
    """What waits to be put into the event log. Every method is one transaction, durable when it returns.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting(self) -> list[CollectionEvent]:
        """All of it, oldest first."""
        statement = select(OutboxRow).order_by(OutboxRow.id)
        rows = await self._database.read(lambda session: session.scalars(statement).all())
        return [_event_of(row) for row in rows]

    async def remove(self, events: Sequence[CollectionEvent]) -> None:
        """Forget what the event log has."""
        statement = delete(OutboxRow).where(OutboxRow.id.in_([event.id for event in events]))
        await self._database.write(lambda session: session.execute(statement))


def _event_of(row: OutboxRow) -> CollectionEvent:
    return CollectionEvent(
        id=row.id,
        type=None if row.type is None else EventType(row.type),
        ts_ms=row.ts_ms,
        collection_id=row.collection_id,
        collection=row.collection,
        owner=row.owner,
        hosts=tuple(row.hosts),
        dimension=row.dimension,
        metric=row.metric,
    )
