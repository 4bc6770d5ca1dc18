"""Between the kiss-vdb API's event streams and core values. Pure functions."""

import re

from serve.event_stream import frame
from vectoray.core.events import Event, EventType, Gap

_DIGITS = re.compile(r"[0-9]{1,20}")
_TYPES = {kind.value: kind for kind in EventType}
# Offsets are signed numbers of 64 bits where they are kept, and none is as high as that.
_LAST_OFFSET = 2**63 - 1
# What this API calls differently.
_DETAIL_NAMES = {"dimension": "dim"}


def digits(value: object) -> object:
    """Let what is no text pass, and text that is nothing but decimal digits.

    Raises:
        ValueError: It is other text, such as ``1.0``, which pydantic would take.
    """
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("must be an offset, a whole number of at least 0")
    return value


def after(since: int, last_event_id: int | None) -> int:
    """The last offset that the caller has."""
    return min(since if last_event_id is None else last_event_id, _LAST_OFFSET)


def event_types(listed: str | None) -> frozenset[EventType] | None:
    """The types in a comma-separated list that exist here; None if there is no list."""
    if not listed:
        return None
    names = {name.strip() for name in listed.split(",")}
    return frozenset(kind for name, kind in _TYPES.items() if name in names)


def event_frame(item: Event | Gap) -> bytes:
    """An event as a frame. A gap's id is its last offset: who comes back is not told of it again."""
    if isinstance(item, Gap):
        gap = {"from_offset": item.from_offset, "to_offset": item.to_offset, "dropped": item.dropped}
        return frame(gap, event="gap", offset=item.to_offset)
    point = {} if item.id is None else {"id": item.id}
    details = {_DETAIL_NAMES.get(name, name): value for name, value in item.details.items()}
    told = {
        "offset": item.offset,
        "ts_ms": item.ts_ms,
        "type": item.type.value,
        "data": {"collection": item.collection, **point, "key": item.key, **details},
    }
    return frame(told, event=item.type.value, offset=item.offset)
