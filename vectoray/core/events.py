"""What happened to collections and points, as those who follow the stream of events are told it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class EventType(StrEnum):
    """What happened."""

    COLLECTION_CREATED = "vector_collection_created"
    COLLECTION_DELETED = "vector_collection_deleted"
    ADDED = "vector_added"
    UPSERTED = "vector_upserted"
    UPDATED = "vector_updated"
    DELETED = "vector_deleted"


@dataclass(frozen=True, slots=True)
class Event:
    """One change.

    Attributes:
        offset: Its place in the order of all events of the server: 1 for the first, without holes.
        ts_ms: Unix time of the change in milliseconds.
        collection: The collection's name at that time.
        collection_id: The collection's UUID.
        id: Of the point; None where it happened to the collection itself.
        details: What else there is to say, such as a new collection's dimension.
    """

    offset: int
    ts_ms: int
    type: EventType
    collection: str
    collection_id: str
    id: str | None = None
    details: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What readers filter by: ``<collection>/<id>``, or the collection alone."""
        return self.collection if self.id is None else f"{self.collection}/{self.id}"


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that a reader asked for and that are not kept any more: all from one offset to another."""

    from_offset: int
    to_offset: int

    @property
    def dropped(self) -> int:
        """How many there were, whether or not the reader would have been shown them."""
        return self.to_offset - self.from_offset + 1
