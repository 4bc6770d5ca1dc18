"""Some of the event log, as a reader gets it at a time."""

from dataclasses import dataclass

from storage.events.batch import EventBatch
from vectoray.core.events import Gap


@dataclass(frozen=True, slots=True)
class EventPage:
    """Batches that follow one another.

    Attributes:
        gap: What was asked for before the first of them, and is not kept any more.
        batches: Empty when there is nothing after the gap, or at all.
    """

    gap: Gap | None
    batches: tuple[EventBatch, ...]

    @property
    def last_offset(self) -> int | None:
        """Up to which offset the page says everything; None if it says nothing."""
        if self.batches:
            return self.batches[-1].last_offset
        return None if self.gap is None else self.gap.to_offset
