"""Opens streams of events, and not more of them than one user may have."""

from dataclasses import dataclass

from serve.auth import Principal
from serve.service.events import EventService
from serve.service.open_streams import HeldStream, OpenStreams
from vectoray.core.events import Event, EventType, Gap


@dataclass(frozen=True, slots=True)
class EventStreamService:
    """Streams that callers hold open for as long as they like."""

    events: EventService
    streams: OpenStreams

    async def open(
        self,
        caller: Principal,
        since: int,
        *,
        types: frozenset[EventType] | None = None,
        key_prefix: str = "",
        collection: str | None = None,
    ) -> HeldStream[Event | Gap]:
        """What happened after an offset, and then what happens; see `EventService.follow`.

        The stream counts as the caller's until it is closed.

        Raises:
            PermissionDenied: The caller's key has no right to read.
            RateLimited: The caller has as many streams open as one user may have.
        """
        followed = await self.events.follow(
            caller, since, types=types, key_prefix=key_prefix, collection=collection
        )
        return self.streams.hold(caller, followed)
