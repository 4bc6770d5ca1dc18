"""ShardWriter: the one owner of a shard. Commits, seals, flushes, merges and recovers it.

Threads: the commit thread applies writes; the maintenance thread turns the tail into segments, merges
segments and writes the table. Whatever they do, a search sees one consistent point of history.
"""

import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property
from math import log
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import structlog

from storage import files, shard
from storage.commit import Delete, GroupCommit, Upsert
from storage.log import WriteLog
from storage.manifest import GenerationCounter, Manifest, publish_manifest
from storage.reader import write_dead_rows
from storage.recovery import recover
from storage.segment import Segment, SegmentRows, build_segment, concatenate
from storage.settings import StorageSettings
from storage.view import Head, LiveSegment
from vectoray.core.model import CollectionStats, Point, PointBatch, SearchQuery, SearchResult

if TYPE_CHECKING:
    from storage.table import PointTable

_log = structlog.get_logger(__name__)

# Merging copies; beyond this a segment is large enough to stay as it is.
_MERGE_MAX_ROWS = 262_144
_RETRY_S = 5.0


class ShardWriter:
    """The owner of one shard: opened by one process at a time, used by any number of its threads."""

    def __init__(self, directory: Path, settings: StorageSettings) -> None:
        """Open a shard and bring it to the state of its last acknowledged write.

        Raises:
            ShardLocked: Another process owns it.
            CorruptData: What is left cannot give back every acknowledged write; nothing was changed.
            FileNotFoundError: There is no shard.
        """
        self._directory = directory
        self._settings = settings
        self.spec = shard.read_spec(directory)
        self._lock = files.FileLock(directory / shard.LOCK)
        try:
            self._wal = WriteLog(directory / shard.LOG)
            self._manifest, self._view = recover(directory, self.spec, self._wal, self._open_table)
            self._counter = GenerationCounter(directory / shard.COUNTER, writable=True)
            self._counter.publish_seq(self._view.head.seq)
            self._counter.publish_generation(self._manifest.generation)
        except BaseException:
            self._lock.release()
            raise
        self._apply_lock = threading.Lock()
        self._maintenance_lock = threading.Lock()
        self._due = threading.Event()
        self._closing = threading.Event()
        self.closed = False
        self._flushed_at_s = time.monotonic()
        self._commits = GroupCommit(
            self._wal, self._view, settings, apply_lock=self._apply_lock, on_commit=self._committed
        )
        self._maintenance = threading.Thread(target=self._maintain, name="shard-maintenance", daemon=True)
        self._maintenance.start()

    # Writes and reads, from any thread.

    def upsert(self, batch: PointBatch) -> "Future[int]":
        """Write points, all or nothing. Resolves to their number once they are durable and visible.

        Raises:
            Overloaded, Unavailable: At once, when the write cannot be queued.
        """
        write = Upsert(batch)
        self._commits.submit(write)
        return write.done

    def delete(self, ids: Sequence[str]) -> "Future[list[str]]":
        """Delete points. Resolves to the ids that existed, once their end is durable and visible.

        Raises:
            Overloaded, Unavailable: At once, when the write cannot be queued.
        """
        write = Delete(ids)
        self._commits.submit(write)
        return write.done

    def search(self, query: SearchQuery) -> SearchResult:
        """As `ShardView.search`."""
        return self._view.search(query)

    def get(self, point_id: str) -> Point | None:
        """As `ShardView.get`."""
        return self._view.get(point_id)

    def stats(self) -> CollectionStats:
        """How full the shard is."""
        head = self._view.head
        return CollectionStats(points=head.points, last_write_ms=head.last_write_ms)

    def close(self, *, flush: bool = True) -> None:
        """Commit what waits, write the table if ``flush``, and give the shard to whoever comes next."""
        self.closed = True
        self._commits.close()
        self._closing.set()
        self._due.set()
        self._maintenance.join()
        try:
            if flush:
                self.flush()
        finally:
            self._counter.close()
            self._lock.release()

    # Maintenance: one step at a time.

    def seal(self) -> None:
        """Turn the tail into a segment, and note which older rows it ended.

        Raises:
            OSError: Nothing changed.
        """
        with self._maintenance_lock:
            head = self._view.head
            if head.seq == self._manifest.sealed_seq:
                return
            rows = np.flatnonzero(head.killed_at[: head.tail_rows] > head.seq)
            segment = self._build(head.tail.take(rows))
            self._publish(
                replace(
                    self._manifest,
                    sealed_seq=head.seq,
                    segments=(*self._manifest.segments, *([segment.name] if segment else [])),
                    dead=self._dead_rows(head),
                )
            )
            with self._apply_lock:
                self._view.replace_tail(head, rows, segment)
            self._readers_reload()

    def merge(self) -> bool:
        """Merge the segments of the smallest crowded size class. Returns whether there were any.

        Raises:
            OSError: Nothing changed.
        """
        with self._maintenance_lock:
            head = self._view.head
            merged = self._crowded(head)
            if not merged:
                return False
            rows = [np.flatnonzero(live.killed_at > head.seq) for live in merged]
            parts = [live.segment.take(part) for live, part in zip(merged, rows, strict=True)]
            segment = self._build(concatenate(parts))
            gone = {live.segment.name for live in merged}
            kept = [name for name in self._manifest.segments if name not in gone]
            self._publish(
                replace(
                    self._manifest,
                    segments=(*kept, *([segment.name] if segment else [])),
                    dead={name: file for name, file in self._manifest.dead.items() if name not in gone},
                )
            )
            with self._apply_lock:
                self._view.replace_segments(merged, rows, segment)
            self._readers_reload()
            return True

    def flush(self) -> None:
        """Write everything acknowledged so far to the LanceDB table.

        Raises:
            OSError: The table may hold a part; the next flush completes it.
        """
        with self._maintenance_lock:
            through = self._view.head.seq
            if through == self._manifest.flushed_seq:
                return
            batches = self._wal.read_after(self._manifest.flushed_seq)
            self._table.apply((records for records in batches if records.last_seq <= through), through)
            self._publish(replace(self._manifest, flushed_seq=through))
            self._flushed_at_s = time.monotonic()
            self._drop_unneeded()

    def _build(self, rows: SegmentRows) -> Segment | None:
        if not len(rows):
            return None
        name = f"{self._manifest.next_segment:08d}"
        # A name is used up even if the build fails.
        self._manifest = replace(self._manifest, next_segment=self._manifest.next_segment + 1)
        directory = self._directory / shard.SEGMENTS / name
        build_segment(directory, rows, metric=self.spec.metric, options=self.spec.index)
        return Segment(directory, self.spec.metric, ef_search=self.spec.index.ef_search, verify=False)

    def _dead_rows(self, head: Head) -> dict[str, str]:
        dead = {}
        for live in head.segments:
            rows = np.flatnonzero(live.killed_at <= head.seq).astype(np.uint32)
            if len(rows):
                dead[live.segment.name] = write_dead_rows(self._directory, live.segment.name, rows)
        return dead

    def _crowded(self, head: Head) -> tuple[LiveSegment, ...]:
        classes: dict[int, list[LiveSegment]] = {}
        for live in head.segments:
            if len(live.segment) <= _MERGE_MAX_ROWS:
                relative = max(1.0, len(live.segment) / self._settings.seal_rows)
                classes.setdefault(int(log(relative, self._settings.merge_factor)), []).append(live)
        for _, members in sorted(classes.items()):
            if len(members) >= self._settings.merge_factor:
                return tuple(members)
        return ()

    def _publish(self, manifest: Manifest) -> None:
        manifest = replace(manifest, generation=manifest.generation + 1)
        with files.disk_errors("publishing a manifest"):
            publish_manifest(self._directory, manifest)
        self._manifest = manifest

    def _readers_reload(self) -> None:
        """Tell readers, then remove what no current manifest names. Mapped files outlive their names."""
        self._counter.publish_generation(self._manifest.generation)
        for path in (self._directory / shard.SEGMENTS).iterdir():
            if path.name not in self._manifest.segments:
                shutil.rmtree(path)
        for path in (self._directory / shard.DEAD).iterdir():
            if path.name not in self._manifest.dead.values():
                path.unlink()
        self._drop_unneeded()

    def _drop_unneeded(self) -> None:
        self._wal.drop_through(min(self._manifest.sealed_seq, self._manifest.flushed_seq))

    def _open_table(self) -> "PointTable":
        return self._table

    @cached_property
    def _table(self) -> "PointTable":
        # Lance takes 100 MB and most of a second: a process that only reads the catalog should not pay it.
        from storage.table import PointTable  # noqa: PLC0415

        return PointTable(self._directory / shard.TABLE, self.spec.dimension)

    # The maintenance thread.

    def _committed(self, seq: int) -> None:
        self._counter.publish_seq(seq)
        if self._seal_is_due() or self._flush_is_due():
            self._due.set()

    def _seal_is_due(self) -> bool:
        return self._view.head.seq - self._manifest.sealed_seq >= self._settings.seal_rows

    def _flush_is_due(self) -> bool:
        waiting = self._view.head.seq - self._manifest.flushed_seq
        overdue = time.monotonic() - self._flushed_at_s >= self._settings.flush_interval_s
        return waiting >= self._settings.flush_rows or (waiting > 0 and overdue)

    def _maintain(self) -> None:
        pause_s = self._settings.flush_interval_s
        while not self._closing.is_set():
            self._due.wait(pause_s)
            self._due.clear()
            pause_s = self._settings.flush_interval_s
            try:
                if self._seal_is_due():
                    self.seal()
                if self._flush_is_due():
                    self.flush()
                while not self._closing.is_set() and self.merge():
                    pass
            except Exception:  # noqa: BLE001
                # Whatever it was (a full disk, most likely), acknowledged writes are in the log: try again.
                _log.exception("shard_maintenance_failed", retry_s=_RETRY_S)
                pause_s = _RETRY_S
