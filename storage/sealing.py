"""Sealing: the oldest rows of the tail become a segment."""

from dataclasses import replace

import numpy as np

from storage.head import Head
from storage.owned_shard import OwnedShard
from storage.segment_files import write_segment

# A seal takes at most this many times `seal_rows` at once.
SEAL_MAX = 2


def seal(owned: OwnedShard, *, seal_rows: int) -> None:
    """Turn the oldest rows of the tail into a segment, and note which older rows ended meanwhile.

    The segment has no graph and is searched row by row until it is merged. Within a `OwnedShard.step`.

    Args:
        owned: The shard.
        seal_rows: How many rows a seal is due for; it takes twice as many at most.

    Raises:
        OSError: Nothing changed.
    """
    head = owned.view.head
    sealed_seq = owned.manifest.sealed_seq
    if head.seq == sealed_seq:
        return
    through, limit = head.seq, sealed_seq + SEAL_MAX * seal_rows
    if through > limit:
        through = owned.log.end_of_batch(sealed_seq, limit, default=head.seq)
    count = int(np.searchsorted(head.tail.seqs[: head.tail_rows], np.uint64(through), side="right"))
    rows = np.flatnonzero(head.killed_at[:count] > through)
    segment = None
    if len(rows):
        directory = owned.new_segment()
        write_segment(
            directory,
            head.tail.take(rows),
            metric=owned.spec.metric,
            options=owned.spec.index,
            with_graph=False,
        )
        segment = owned.open_segment(directory)
    last_write_ms = head.last_write_ms
    if through < head.seq and count:
        last_write_ms = int(head.tail.updated_ms[count - 1])
    with owned.removed_if_unnamed(segment):
        owned.publish(
            replace(
                owned.manifest,
                sealed_seq=through,
                segments=(*owned.manifest.segments, *([segment.name] if segment else [])),
                dead=_dead_rows(owned, head, through),
                last_write_ms=max(owned.manifest.last_write_ms, last_write_ms),
            ),
            lambda: owned.view.replace_tail(count, rows, segment),
        )


def _dead_rows(owned: OwnedShard, head: Head, through: int) -> dict[str, str]:
    dead: dict[str, str] = {}
    for live in head.segments:
        dead |= owned.dead_file(live.segment.name, live.killed_at, through)
    return dead
