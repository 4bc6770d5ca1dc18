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
# Rows that get into a graph in one step, about, while writers may have to wait for its end.
STEP_ROWS = 16_384
# A graph with a smaller share of live rows does not grow: a new one is built without the dead.
MIN_LIVE_TO_GROW = 0.8


@dataclass(frozen=True, slots=True)
class SegmentSize:
    """What counts about a segment.

    Attributes:
        rows: All of its rows.
        live: Those that are not dead.
        indexed: Whether it has a graph, or none could be built that finds its rows.
        refused: Whether none could be built.
    """

    name: str
    rows: int
    live: int
    indexed: bool
    refused: bool = False


def plan(
    sizes: Sequence[SegmentSize],
    *,
    merge_factor: int,
    max_rows: int,
    with_graphs: bool,
    max_added: int | None = None,
) -> tuple[str, ...]:
    """The segments to merge next, the one whose graph may grow first; none when all is well.

    Applied until there is none, it leaves fewer than ``merge_factor`` segments, or one with graphs, between
    any size and the next that is ``merge_factor`` times as large.

    Args:
        sizes: The segments there are.
        merge_factor: Smaller segments join one when together they have this part of its rows; without graphs,
            this many of about the same size are merged.
        max_rows: No segment becomes larger by merging.
        with_graphs: Whether the collection's segments have graphs.
        max_added: How many rows may have to get into a graph; None for any number. Rows that wait for one get
            there in steps of `STEP_ROWS` in any case.
    """
    for size in sizes:
        if size.live < _MIN_LIVE * size.rows and (max_added is None or size.live <= max_added):
            return (size.name,)
    ascending = sorted(sizes, key=lambda size: size.live)
    waiting = [size for size in ascending if max_added is None or size.live <= max_added]
    group = _without_graph(waiting, max_rows) if with_graphs else []
    if group:
        indexed = [size for size in ascending if size.indexed]
        group = _joined(group, indexed, merge_factor, max_rows, STEP_ROWS)
    else:
        # From the smallest on: one that is too small to join the next keeps no others apart.
        least = 2 if with_graphs else merge_factor
        runs = (
            _joined([size], ascending[at:], merge_factor, max_rows, max_added)
            for at, size in enumerate(ascending, start=1)
        )
        group = next((run for run in runs if len(run) >= least), [])
    group.sort(key=lambda size: (not _may_grow(size), -size.live))
    return tuple(size.name for size in group)


def _without_graph(ascending: Sequence[SegmentSize], max_rows: int) -> list[SegmentSize]:
    """Segments that wait for a graph, to get one together; none while it would not pay.

    The largest is among them, however large, and as many others as stay within the bounds with it.
    """
    bound = min(max_rows, STEP_ROWS)
    group: list[SegmentSize] = []
    for size in reversed(ascending):
        if not size.indexed and (not group or _fits(group, size, bound)):
            group.append(size)
    return group if _live(group) >= GRAPH_MIN_ROWS else []


def _joined(
    group: list[SegmentSize],
    ascending: Sequence[SegmentSize],
    merge_factor: int,
    max_rows: int,
    max_added: int | None,
) -> list[SegmentSize]:
    """The group and those larger ones, one after the other, of which it is a good part."""
    group = list(group)
    for size in ascending:
        added = _live(group) + (0 if _may_grow(size) else size.live)
        if _live(group) * merge_factor < size.live or not _fits(group, size, max_rows):
            break
        if max_added is not None and added > max_added:
            break
        group.append(size)
    return group


def _fits(group: Sequence[SegmentSize], size: SegmentSize, max_rows: int) -> bool:
    # A segment whose graph grows keeps its dead rows.
    return sum(one.rows if _may_grow(one) else one.live for one in (*group, size)) <= max_rows


def _live(group: Sequence[SegmentSize]) -> int:
    return sum(size.live for size in group)


def _may_grow(size: SegmentSize) -> bool:
    return size.indexed and not size.refused and size.live >= MIN_LIVE_TO_GROW * size.rows
