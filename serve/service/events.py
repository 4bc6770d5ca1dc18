"""What happens, as those who may see it follow it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from serve.auth import Principal
from serve.event_feed import EventFeed
from serve.service.ownership import may_see
from serve.service.rights import require
from storage.events import EventBatch, EventPage
from vectoray.core.accounts import Scope
from vectoray.core.events import Event, EventType, Gap

# Unpacking more takes milliseconds, in which the event loop would do nothing else.
_UNPACKED_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class EventService:
    """The events of collections that their callers may see."""

    feed: EventFeed

    async def follow(
        self,
        caller: Principal,
        since: int,
        *,
        types: frozenset[EventType] | None = None,
        key_prefix: str = "",
        collection: str | None = None,
    ) -> AsyncGenerator[Event | Gap, None]:
        """What happened after an offset, and then what happens, without an end of its own.

        Whoever is slower than what happens stays behind, and misses nothing but what is forgotten meanwhile;
        then comes one `Gap` that says which offsets that is, whatever the caller would have been shown of
        them. Of a collection that is gone, its owner at that time still sees the events.

        Args:
            caller: Who follows.
            since: The last offset that the caller has; 0 for all. One that is still to come is waited for.
            types: Only these types; None for all.
            key_prefix: Only events whose `Event.key` begins with it.
            collection: Only those of collections of this name.

        Raises:
            PermissionDenied: The caller's key has no right to read.
            Unavailable: While the events are followed: the event log cannot be reached. Whoever follows again
                from the last offset misses nothing.
        """
        require(caller, Scope.READ)
        wanted = _Wanted(caller, types, key_prefix, collection)
        return _chosen(self.feed.pages(max(0, since)), wanted, since)


@dataclass(frozen=True, slots=True)
class _Wanted:
    caller: Principal
    types: frozenset[EventType] | None
    key_prefix: str
    collection: str | None

    def of_batch(self, batch: EventBatch) -> bool:
        if self.collection is not None and batch.collection != self.collection:
            return False
        return may_see(self.caller, owner=batch.owner, collection_id=batch.collection_id)

    def of_event(self, event: Event) -> bool:
        return (self.types is None or event.type in self.types) and event.key.startswith(self.key_prefix)


async def _chosen(
    pages: AsyncGenerator[EventPage, None], wanted: _Wanted, since: int
) -> AsyncGenerator[Event | Gap, None]:
    async with aclosing(pages):
        async for page in pages:
            if page.gap is not None:
                yield page.gap
            for batch in page.batches:
                if not wanted.of_batch(batch):
                    continue
                for event in await _events_of(batch):
                    if event.offset > since and wanted.of_event(event):
                        yield event


async def _events_of(batch: EventBatch) -> tuple[Event, ...]:
    if batch.last_offset - batch.first_offset < _UNPACKED_AT_ONCE:
        return batch.events
    return await asyncio.to_thread(lambda: batch.events)
