"""An event log in which collections have begun, and what is in it, for tests of those who publish."""

from dataclasses import replace

from storage.catalog import CollectionEvent
from storage.events import EventLog
from vectoray.core.events import Event, EventType
from vectoray.core.model import Collection


def begin(log: EventLog, collection: Collection, kind: EventType = EventType.COLLECTION_CREATED) -> None:
    """Announce a collection, as a gateway does once its shards are there; or its end."""
    log.announce([replace(CollectionEvent.creation_of(collection), type=kind)])


def events_in(log: EventLog) -> list[Event]:
    """All events, whose offsets have no holes."""
    found: list[Event] = []
    while (page := log.read(len(found))).last_offset is not None:
        found += [event for batch in page.batches for event in batch.events]
    assert [event.offset for event in found] == list(range(1, len(found) + 1))
    return found


def writes_in(log: EventLog) -> list[tuple[str, EventType]]:
    """The events of points: their ids, and what happened."""
    return [(event.id, event.type) for event in events_in(log) if event.id is not None]
