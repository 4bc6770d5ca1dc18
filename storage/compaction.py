"""Which segments to merge: keeps their number near the logarithm of the rows, at a bounded cost a row.

Segments of geometrically growing size, the smaller joining the next larger once they are a good part of it:
O'Neil et al., "The Log-Structured Merge-Tree" (1996). The larger one's graph is kept and grows, so that what
merging costs a row is mostly copying.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.segment_files import GRAPH_MIN_ROWS

# Segments with a smaller share of live rows are rewritten without the dead ones.
_MIN_LIVE = 0.5
# A graph with a smaller share of live rows does not grow: a new one is built without the dead.
MIN_LIVE_TO_GROW = 0.8


@dataclass(frozen=True, slots=True)
class SegmentSize:
    """What counts about a segment.

    Attributes:
        rows: All of its rows.
        live: Those that are not dead.
        indexed: Whether it has a graph, or none could be built that finds its rows.
    """

    name: str
    rows: int
    live: int
    indexed: bool


def plan(
    sizes: Sequence[SegmentSize], *, merge_factor: int, max_rows: int, with_graphs: bool
) -> tuple[str, ...]:
    """The segments to merge next, the one whose graph may grow first; none when all is well.

    Args:
        sizes: The segments there are.
        merge_factor: Smaller segments join one when together they have this part of its rows; without graphs,
            this many of about the same size are merged.
        max_rows: No segment becomes larger by merging.
        with_graphs: Whether the collection's segments have graphs.
    """
    for size in sizes:
        if size.live < _MIN_LIVE * size.rows:
            return (size.name,)
    ascending = sorted(sizes, key=lambda size: size.live)
    group: list[SegmentSize] = []
    if with_graphs:
        group = _within([size for size in ascending if not size.indexed and size.rows < max_rows], max_rows)
        if sum(size.live for size in group) < GRAPH_MIN_ROWS:
            group = []
    waiting = bool(group)
    total = sum(size.live for size in group)
    for size in ascending:
        if size in group:
            continue
        if group and (total * merge_factor < size.live or total + size.live > max_rows):
            break
        group.append(size)
        total += size.live
    least = 2 if with_graphs else merge_factor
    if not waiting and len(group) < least:
        return ()
    group.sort(key=lambda size: (not _may_grow(size), -size.live))
    return tuple(size.name for size in group)


def _may_grow(size: SegmentSize) -> bool:
    return size.indexed and size.live >= MIN_LIVE_TO_GROW * size.rows


def _within(ascending: Sequence[SegmentSize], max_rows: int) -> list[SegmentSize]:
    """As many of the smallest as together stay within the bound; one at least."""
    group: list[SegmentSize] = []
    for size in ascending:
        if group and sum(other.live for other in group) + size.live > max_rows:
            break
        group.append(size)
    return group
