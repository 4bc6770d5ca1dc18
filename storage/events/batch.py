"""A batch of consecutive events of one collection, and its packed form. Knows no database."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import msgpack
import numpy as np

from storage.records import WriteKind, WriteRun
from vectoray.core.events import Event, EventType

# Stored as their places here: a `WriteKind` stands where its number says.
_TYPES = (
    EventType.UPSERTED,
    EventType.ADDED,
    EventType.UPDATED,
    EventType.DELETED,
    EventType.COLLECTION_CREATED,
    EventType.COLLECTION_DELETED,
)
assert len(WriteKind) == 4  # noqa: S101  (a kind more needs a type more)


class PackedEvents(NamedTuple):
    """Events without what their batch says of all of them."""

    rows: int
    data: bytes


def pack_runs(runs: Sequence[WriteRun]) -> PackedEvents:
    """The events of a shard's writes."""
    ids = [point_id for run in runs for point_id in run.ids]
    codes = b"".join(run.kinds.tobytes() for run in runs)
    times = np.concatenate([run.updated_ms for run in runs])
    # Writes of one group commit share their time.
    starts = np.concatenate([[0], np.flatnonzero(np.diff(times)) + 1])
    lengths = np.diff(np.append(starts, len(times)))
    return PackedEvents(len(ids), _pack(codes, times[starts].tolist(), lengths.tolist(), ids, {}))


def pack_one(kind: EventType, ts_ms: int, details: Mapping[str, str | int]) -> PackedEvents:
    """The event of something that happened to the collection itself."""
    return PackedEvents(1, _pack(bytes([_TYPES.index(kind)]), [ts_ms], [1], [None], details))


def _pack(
    codes: bytes,
    times: Sequence[int],
    lengths: Sequence[int],
    ids: Sequence[str | None],
    details: Mapping[str, str | int],
) -> bytes:
    packed: bytes = msgpack.packb([codes, times, lengths, ids, dict(details)])
    return packed


@dataclass(frozen=True)
class EventBatch:
    """Consecutive events of one collection, as they are stored.

    Attributes:
        collection: Its name when the events happened.
        owner: Whose it was then.
        packed: What `pack_runs` or `pack_one` made.
    """

    first_offset: int
    last_offset: int
    collection_id: str
    collection: str
    owner: str
    packed: bytes

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes, packed and unpacked."""
        return 2 * len(self.packed) + 256 * (self.last_offset - self.first_offset + 1)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """All of them, in order. Unpacked once, however many readers share the batch."""
        return tuple(self._unpacked())

    def _unpacked(self) -> Iterator[Event]:
        codes, times, lengths, ids, details = msgpack.unpackb(self.packed)
        at = 0
        for ts_ms, length in zip(times, lengths, strict=True):
            for row in range(at, at + length):
                yield Event(
                    offset=self.first_offset + row,
                    ts_ms=ts_ms,
                    type=_TYPES[codes[row]],
                    collection=self.collection,
                    collection_id=self.collection_id,
                    id=ids[row],
                    details=details,
                )
            at += length
