"""A step of one shard on its way into the event log."""

from dataclasses import dataclass
from typing import NamedTuple

from storage.records import WriteRun


class ShardKey(NamedTuple):
    """Names one shard of one collection."""

    collection_id: str
    shard: int


@dataclass(frozen=True, slots=True)
class ShardRun:
    """Writes of a shard that are to become events.

    Attributes:
        after_seq: Up to which write the shard's events must be in the log already.
        through_seq: Up to which write they are when these are in it. Writes between the two that are in no
            run have no events.
        runs: In the order of their sequence numbers.
    """

    key: ShardKey
    after_seq: int
    through_seq: int
    runs: tuple[WriteRun, ...]
