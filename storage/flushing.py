"""Flushing: acknowledged writes go to the shard's LanceDB table."""

import time
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import structlog

from storage import shard
from storage.owned_shard import OwnedShard
from storage.records import Records
from storage.recovery import open_table
from storage.settings import StorageSettings
from vectoray.core.errors import CorruptData

if TYPE_CHECKING:
    from storage.table import PointTable

_log = structlog.get_logger(__name__)

# Writes go to the table in steps of this many times `flush_rows` at most, or this many adopted rows.
_FLUSH_MAX = 2
_ADOPTED_STEP = 16_384


class Flusher:
    """Brings the table of one shard up to date. Within a `OwnedShard.step`, but for `is_due`."""

    def __init__(self, owned: OwnedShard, settings: StorageSettings) -> None:
        self._owned, self._settings = owned, settings
        self._flushed_at_s = time.monotonic()
        # Somebody removed it, or made this shard of a copy of another's files without it.
        self._is_missing = owned.manifest.flushed_seq > 0 and not any(
            owned.directory.glob(f"{shard.TABLE}/*")
        )

    def is_due(self) -> bool:
        """Whether enough writes wait, or one for long enough."""
        waiting = self._owned.view.head.seq - self._owned.manifest.flushed_seq
        overdue = time.monotonic() - self._flushed_at_s >= self._settings.flush_interval_s
        return waiting >= self._settings.flush_rows or (overdue and (waiting > 0 or self._is_missing))

    @cached_property
    def table(self) -> "PointTable":
        """The table, as its one writer."""
        # Not before the first flush: a shard can be opened, and read, on a full disk.
        owned = self._owned
        # A new table is there before it is filled: the owner may end meanwhile, and the next one must know.
        flushed_seq = 0 if self._is_missing else owned.manifest.flushed_seq
        owned.publish(replace(owned.manifest, epoch=owned.manifest.epoch + 1, flushed_seq=flushed_seq))
        return open_table(
            owned.directory,
            owned.spec,
            epoch=owned.manifest.epoch,
            keep_versions_s=self._settings.table_versions_keep_s,
        )

    def flush(self) -> None:
        """Write everything acknowledged so far to the table.

        Raises:
            OSError: The table may hold a part; the next flush completes it.
            ShardLocked: A later owner has written to the table.
        """
        owned = self._owned
        through = owned.view.head.seq
        if through == owned.manifest.flushed_seq and not self._is_missing:
            return
        # After a loss of power the table may be behind the manifest.
        start = min(owned.manifest.flushed_seq, self.table.flushed_seq)
        if not self._flush_writes(start, through):
            with owned.apply_lock:
                through, rows = owned.view.head.seq, owned.view.live_rows()
            self.table.rewrite(rows, through)
        waiting = tuple(run for run in owned.manifest.adopted if run[1] > through)
        owned.publish(replace(owned.manifest, flushed_seq=through, adopted=waiting))
        self._flushed_at_s = time.monotonic()
        self._is_missing = False
        self.table.tidy()

    def _flush_writes(self, start: int, through: int) -> bool:
        """Bring the table from one state to a later one, in steps of bounded memory.

        Returns:
            Whether the log, the adopted segments and the table allow that.
        """
        try:
            for first, last in self._owned.manifest.adopted:
                if start >= last:
                    continue
                if first > start + 1:
                    self._flush_log(start, first - 1)
                self._flush_adopted(first, last)
                start = last
            if start < through:
                self._flush_log(start, through)
        except (CorruptData, FileNotFoundError) as error:
            # What the log or the table held is in the live points, too.
            _log.warning("table_rewritten_from_live_points", reason=str(error))
            return False
        return True

    def _flush_log(self, start: int, through: int) -> None:
        """Bring the table to a later state by the log.

        Raises:
            CorruptData: The log does not have every write between the two.
        """
        step: list[Records] = []
        reached = start
        for records in self._owned.log.read_after(start):
            if records.last_seq <= through:
                step.append(records)
                reached = records.last_seq
            if records.last_seq >= through:
                # What follows may be a gap where segments were adopted.
                break
            if reached - step[0].first_seq >= _FLUSH_MAX * self._settings.flush_rows:
                self.table.apply(step, reached)
                step = []
        if step:
            self.table.apply(step, reached)
        if reached < through:
            raise CorruptData(f"The write log ends at {reached}, not at {through}.")

    def _flush_adopted(self, first: int, last: int) -> None:
        """Bring the table from write ``first - 1`` to write ``last`` by the rows of adopted segments.

        Without those that later ones among them replaced. What a merge has left out, or was dead when the
        shard was opened, was replaced or deleted by later writes, which follow.
        """
        for live in self._owned.view.head.segments:
            seqs = live.segment.seqs
            of_run = (seqs >= np.uint64(first)) & (seqs <= np.uint64(last))
            # The earlier of two rows of an id may come last: merging changes the order of the segments.
            rows = np.flatnonzero(of_run & (live.killed_at > np.uint64(last)))
            for at in range(0, len(rows), _ADOPTED_STEP):
                self.table.put(live.segment.take(rows[at : at + _ADOPTED_STEP]))
        self.table.complete(last)
