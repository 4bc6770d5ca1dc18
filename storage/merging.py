"""Merging: several segments become one, with a graph. What `storage.compaction` plans is done here."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from storage.compaction import MIN_LIVE_TO_GROW, STEP_ROWS, SegmentSize, plan
from storage.head import LiveSegment, killed_in
from storage.owned_shard import OwnedShard
from storage.sealing import SEAL_MAX
from storage.segment import Segment
from storage.segment_files import merge_segments
from storage.settings import StorageSettings
from vectoray.core.errors import Unavailable

# Once a shard rests, segments join one that is up to this many times as large: every one of them costs each
# search as much as the largest, and nobody waits for the work.
_RESTING_FACTOR = 64


class Merger:
    """Merges the segments of one shard. For any number of threads, which take different ones."""

    def __init__(self, owned: OwnedShard, settings: StorageSettings) -> None:
        self._owned, self._settings = owned, settings
        self._changed = threading.Condition()
        self._taken: set[str] = set()
        self._stopped = False

    @property
    def is_busy(self) -> bool:
        """Whether a merge is under way."""
        return bool(self._taken)

    def wait_for_others(self) -> bool:
        """Wait for the merges that are under way. Returns whether there were any."""
        with self._changed:
            others = set(self._taken)
            self._changed.wait_for(lambda: not others & self._taken)
        return bool(others)

    def stop(self) -> None:
        """Let no merge begin any more, and wait for those that are under way."""
        with self._changed:
            self._stopped = True
            self._changed.wait_for(lambda: not self._taken)

    def merge(self, *, should_stop: Callable[[], bool], resting: bool = False, bounded: bool = False) -> bool:
        """Merge the segments that `storage.compaction.plan` names, and build or grow their graph.

        Args:
            should_stop: Asked every now and then.
            resting: Whether to merge also what is not due, so that searches become as quick as they can.
            bounded: Whether to leave alone what takes longer than a step, see `storage.compaction.plan`.

        Returns:
            Whether there were any.

        Raises:
            OSError: Nothing changed.
            BuildStoppedError: ``should_stop`` said so; nothing changed.
            Unavailable: The shard is closed, or broken.
        """
        owned = self._owned
        names: set[str] = set()
        try:
            with owned.step():
                merged, rows = self._to_merge(resting=resting, bounded=bounded)
                if not merged:
                    return False
                names = {live.segment.name for live in merged}
                self._take(names)
                directory = owned.new_segment()
            # Between the steps: meanwhile rows are sealed, and rows of these segments may end.
            segment = None
            if sum(map(len, rows)):
                merge_segments(
                    directory,
                    [(live.segment, part) for live, part in zip(merged, rows, strict=True)],
                    metric=owned.spec.metric,
                    options=owned.spec.index,
                    should_stop=should_stop,
                )
                segment = owned.open_segment(directory)
            with owned.step(), owned.removed_if_unnamed(segment):
                self._replace(merged, rows, segment)
        finally:
            self._give_back(names)
        return True

    def _take(self, names: set[str]) -> None:
        with self._changed:
            if self._stopped:
                raise Unavailable("The shard is closed.")
            self._taken |= names

    def _give_back(self, names: set[str]) -> None:
        with self._changed:
            self._taken -= names
            self._changed.notify_all()

    def _replace(
        self, merged: Sequence[LiveSegment], rows: Sequence[npt.NDArray[np.int64]], segment: Segment | None
    ) -> None:
        """Publish a segment in the place of those that were merged."""
        owned = self._owned
        # A bulk load ends rows in copies, which have taken the places of those that we began with.
        lives = {live.segment.name: live for live in owned.view.head.segments}
        merged = [lives[live.segment.name] for live in merged]
        gone = {live.segment.name for live in merged}
        kept = [name for name in owned.manifest.segments if name not in gone]
        dead = {name: file for name, file in owned.manifest.dead.items() if name not in gone}
        if segment is not None:
            kept.append(segment.name)
            ends = killed_in(merged, rows)
            dead |= owned.dead_file(segment.name, ends, owned.manifest.sealed_seq)
        owned.publish(
            replace(owned.manifest, segments=tuple(kept), dead=dead),
            lambda: owned.view.replace_segments(merged, rows, segment),
        )

    def _to_merge(
        self, *, resting: bool, bounded: bool
    ) -> tuple[list[LiveSegment], list[npt.NDArray[np.int64]]]:
        """The segments to merge next, and of each the rows to take."""
        # A row that ended after the last seal stays: by the manifest, and without the log, it lives.
        sealed_seq = self._owned.manifest.sealed_seq
        lives = {
            live.segment.name: live
            for live in self._owned.view.head.segments
            if live.segment.name not in self._taken
        }
        sizes = [
            SegmentSize(
                name,
                len(live.segment),
                int(np.count_nonzero(live.killed_at > sealed_seq)),
                indexed=live.segment.indexed,
                refused=live.segment.indexed and live.segment.graph is None,
            )
            for name, live in lives.items()
        ]
        names = self._plan(sizes, self._settings.merge_factor, bounded=bounded)
        if not names and resting:
            # A graph that was refused cannot grow: for a few more rows it would be built anew, and refused.
            growing = [size for size in sizes if not size.refused]
            names = self._plan(growing, _RESTING_FACTOR, bounded=False)
        rows = [np.flatnonzero(lives[name].killed_at > sealed_seq) for name in names]
        if names:
            first = lives[names[0]].segment
            if len(names) > 1 and first.graph is not None and len(rows[0]) >= MIN_LIVE_TO_GROW * len(first):
                # Its graph can only grow if its rows keep their numbers, the dead ones too.
                rows[0] = np.arange(len(first), dtype=np.int64)
        return [lives[name] for name in names], rows

    def _plan(self, sizes: Sequence[SegmentSize], merge_factor: int, *, bounded: bool) -> tuple[str, ...]:
        return plan(
            sizes,
            merge_factor=merge_factor,
            max_rows=self._settings.merge_max_rows,
            with_graphs=self._owned.spec.index.kind.is_graph,
            # One seal may be larger than a step.
            max_added=max(STEP_ROWS, SEAL_MAX * self._settings.seal_rows) if bounded else None,
        )
