"""ShardWriter: the one owner of a shard. Commits, seals, flushes, merges and recovers it.

Threads: the commit thread applies writes; the maintenance thread turns the tail into segments, merges
segments and writes the table. Whatever they do, a search sees one consistent point of history.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from math import log
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import structlog

from storage import files, shard
from storage.changes import Delete, DeleteMatching, Write
from storage.commit import GroupCommit
from storage.log import WriteLog
from storage.manifest import GenerationCounter, Manifest, publish_manifest
from storage.reader import write_dead_rows
from storage.records import Records
from storage.recovery import open_table, recover, remove_unnamed
from storage.segment import BuildStoppedError, Segment, SegmentRows, build_segment, concatenate
from storage.settings import StorageSettings
from storage.view import Head, LiveSegment
from vectoray.core.errors import (
    CorruptData,
    DimensionMismatch,
    InvalidRequest,
    Overloaded,
    Unavailable,
)
from vectoray.core.filters import Filter
from vectoray.core.model import (
    CollectionStats,
    IndexKind,
    Point,
    PointBatch,
    SearchQuery,
    SearchResult,
    WriteMode,
    WriteResult,
)

if TYPE_CHECKING:
    from storage.table import PointTable

_log = structlog.get_logger(__name__)

# Merging copies; beyond this a segment is large enough to stay as it is.
_MERGE_MAX_ROWS = 131_072
# Segments with a smaller share of live rows are rewritten without the dead ones.
_MIN_LIVE = 0.5
# A seal takes at most this many times `seal_rows` at once, a flush this many times `flush_rows`.
_SEAL_MAX = 2
_FLUSH_MAX = 2
# Writers wait while the tail is this many times `seal_rows` long.
_TAIL_MAX = 8
_ROOM_WITHIN_S = 20.0
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
            self._manifest, self._view = recover(directory, self.spec, self._wal)
            self._counter = GenerationCounter(directory / shard.COUNTER, writable=True)
            self._counter.publish_seq(self._view.head.seq)
            self._counter.publish_generation(self._manifest.generation)
            self._apply_lock = threading.Lock()
            self._maintenance_lock = threading.Lock()
            self._due = threading.Event()
            self._sealed = threading.Event()
            self._closing = threading.Event()
            self._released = False
            self._flushed_at_s = time.monotonic()
            self._commits = GroupCommit(
                self._wal,
                self._view,
                settings,
                apply_lock=self._apply_lock,
                wait_for_room=self._wait_for_room,
                on_commit=self._committed,
            )
            self._maintenance = threading.Thread(target=self._maintain, name="shard-maintenance", daemon=True)
            self._maintenance.start()
        except BaseException:
            self._lock.release()
            raise

    # Writes and reads, from any thread.

    def write(
        self,
        batch: PointBatch,
        mode: WriteMode = WriteMode.UPSERT,
        *,
        atomic: bool = True,
        expected_seqs: npt.NDArray[np.uint64] | None = None,
    ) -> "Future[WriteResult]":
        """Write points. Resolves once they are durable and visible.

        Args:
            batch: What to write.
            mode: What becomes of ids that are there already, or are not.
            atomic: Whether one refused row refuses the whole batch.
            expected_seqs: uint64, shape (n,): refuses rows whose id was last written by another write
                (0: is there). None: any.

        Raises:
            InvalidRequest: The vectors are not float32 of the shard's dimension, or a string is no Unicode.
            Overloaded, Unavailable: At once, when the write cannot be queued.
        """
        # Checked before it shares a group with others, which must not fail with it.
        if batch.vectors.shape[1:] != (self.spec.dimension,) or batch.vectors.dtype != np.float32:
            raise DimensionMismatch.of(
                expected=self.spec.dimension, actual=int(batch.vectors.shape[-1]), where="The batch"
            )
        _check_encodings(batch)
        if expected_seqs is not None and expected_seqs.shape != (len(batch),):
            raise InvalidRequest(f"A batch of {len(batch)} rows needs as many expected sequence numbers.")
        change = Write(batch, mode, atomic, expected_seqs)
        self._commits.submit(change)
        return change.done

    def upsert(self, batch: PointBatch) -> "Future[WriteResult]":
        """As `write`, whatever is there."""
        return self.write(batch)

    def delete(self, ids: Sequence[str]) -> "Future[list[str]]":
        """Delete points. Resolves to the ids that existed, once their end is durable and visible.

        Raises:
            Overloaded, Unavailable: At once, when the write cannot be queued.
        """
        change = Delete(ids)
        self._commits.submit(change)
        return change.done

    def delete_matching(self, condition: Filter) -> "Future[list[str]]":
        """Delete the points whose payload meets a condition. Resolves to their ids, as `delete` does.

        Raises:
            Overloaded, Unavailable: At once, when the write cannot be queued.
        """
        change = DeleteMatching(condition)
        self._commits.submit(change)
        return change.done

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

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing.is_set()

    @property
    def broken(self) -> bool:
        """Whether an error left this owner unable to go on; what was acknowledged is safe."""
        return self._commits.broken

    @property
    def scans(self) -> bool:
        """Whether a search compares with so many vectors that it takes milliseconds."""
        is_flat = self.spec.index.kind is IndexKind.FLAT
        return is_flat or self._view.head.tail_rows > 2 * self._settings.seal_rows

    def close(self, *, flush: bool = True) -> None:
        """Commit what waits, write the table if ``flush``, and give the shard to whoever comes next.

        Once is enough; again does nothing.
        """
        if self.closed:
            return
        self._closing.set()
        self._commits.close()
        self._due.set()
        self._maintenance.join()
        try:
            if flush and not self.broken:
                self.flush()
        finally:
            with self._maintenance_lock:
                self._released = True
                self._counter.close()
                self._lock.release()

    # Maintenance: one step at a time.

    def seal(self) -> None:
        """Turn the oldest rows of the tail into a segment, and note which older rows ended meanwhile.

        Raises:
            OSError: Nothing changed.
            BuildStoppedError: The shard is closing.
            Unavailable: The shard is closed, or broken.
        """
        with self._owned():
            head = self._view.head
            sealed_seq = self._manifest.sealed_seq
            if head.seq == sealed_seq:
                return
            through, limit = head.seq, sealed_seq + _SEAL_MAX * self._settings.seal_rows
            if through > limit:
                through = self._wal.end_of_batch(sealed_seq, limit, default=head.seq)
            count = int(np.searchsorted(head.tail.seqs[: head.tail_rows], np.uint64(through), side="right"))
            rows = np.flatnonzero(head.killed_at[:count] > through)
            segment = self._build(head.tail.take(rows))
            last_write_ms = head.last_write_ms
            if through < head.seq and count:
                last_write_ms = int(head.tail.updated_ms[count - 1])
            self._publish(
                replace(
                    self._manifest,
                    sealed_seq=through,
                    segments=(*self._manifest.segments, *([segment.name] if segment else [])),
                    dead=self._dead_rows(head, through),
                    last_write_ms=max(self._manifest.last_write_ms, last_write_ms),
                ),
                lambda: self._view.replace_tail(count, rows, segment),
            )
            self._sealed.set()

    def merge(self) -> bool:
        """Rewrite a segment of mostly dead rows, or else merge those of the smallest crowded size class.

        Returns:
            Whether there were any.

        Raises:
            OSError: Nothing changed.
            BuildStoppedError: The shard is closing.
            Unavailable: The shard is closed, or broken.
        """
        with self._owned():
            head = self._view.head
            merged = self._mostly_dead(head) or self._crowded(head)
            if not merged:
                return False
            # A row that ended after the last seal stays: by this manifest, and without the log, it lives.
            sealed_seq = self._manifest.sealed_seq
            rows = [np.flatnonzero(live.killed_at > sealed_seq) for live in merged]
            parts = [live.segment.take(part) for live, part in zip(merged, rows, strict=True)]
            segment = self._build(concatenate(parts))
            gone = {live.segment.name for live in merged}
            kept = [name for name in self._manifest.segments if name not in gone]
            self._publish(
                replace(
                    self._manifest,
                    segments=(*kept, *([segment.name] if segment else [])),
                    dead={name: file for name, file in self._manifest.dead.items() if name not in gone},
                ),
                lambda: self._view.replace_segments(merged, rows, segment),
            )
            return True

    def flush(self) -> None:
        """Write everything acknowledged so far to the LanceDB table.

        Raises:
            OSError: The table may hold a part; the next flush completes it.
            Unavailable: The shard is closed, or broken.
        """
        with self._owned():
            through = self._view.head.seq
            if through == self._manifest.flushed_seq:
                return
            # After a loss of power the table may be behind the manifest.
            start = min(self._manifest.flushed_seq, self._table.flushed_seq)
            if not self._flush_log(start, through):
                with self._apply_lock:
                    through, rows = self._view.head.seq, self._view.live_rows()
                self._table.rewrite(rows, through)
            self._publish(replace(self._manifest, flushed_seq=through))
            self._flushed_at_s = time.monotonic()
            self._table.tidy()

    def _flush_log(self, start: int, through: int) -> bool:
        """Bring the table from one state to a later one, in steps of bounded memory.

        Returns:
            Whether the log, and what the disk said of the table before, allow that.
        """
        if self._wal.oldest_seq() > start + 1 or not self._table.is_durable:
            return False
        step: list[Records] = []
        try:
            for records in self._wal.read_after(start):
                if records.last_seq > through:
                    break
                step.append(records)
                if records.last_seq - step[0].first_seq >= _FLUSH_MAX * self._settings.flush_rows:
                    self._table.apply(step, records.last_seq)
                    step = []
        except (CorruptData, FileNotFoundError) as error:
            # What it held is in the live points, too.
            _log.warning("log_damaged_after_its_writes_were_applied", reason=str(error))
            return False
        if step:
            self._table.apply(step, step[-1].last_seq)
        return True

    def _build(self, rows: SegmentRows) -> Segment | None:
        if not len(rows):
            return None
        name = f"{self._manifest.next_segment:08d}"
        # A name is used up even if the build fails.
        self._manifest = replace(self._manifest, next_segment=self._manifest.next_segment + 1)
        directory = self._directory / shard.SEGMENTS / name
        build_segment(
            directory,
            rows,
            metric=self.spec.metric,
            options=self.spec.index,
            should_stop=self._closing.is_set,
        )
        return Segment(directory, self.spec.metric, ef_search=self.spec.index.ef_search, verify=False)

    def _dead_rows(self, head: Head, through: int) -> dict[str, str]:
        dead = {}
        for live in head.segments:
            rows = np.flatnonzero(live.killed_at <= through).astype(np.uint32)
            if len(rows):
                dead[live.segment.name] = write_dead_rows(self._directory, live.segment.name, rows)
        return dead

    def _mostly_dead(self, head: Head) -> tuple[LiveSegment, ...]:
        for live in head.segments:
            if np.count_nonzero(live.killed_at > self._manifest.sealed_seq) < _MIN_LIVE * len(live.segment):
                return (live,)
        return ()

    def _crowded(self, head: Head) -> tuple[LiveSegment, ...]:
        classes: dict[int, list[LiveSegment]] = {}
        for live in head.segments:
            if len(live.segment) <= _MERGE_MAX_ROWS:
                relative = max(1.0, len(live.segment) / self._settings.seal_rows)
                classes.setdefault(int(log(relative, self._settings.merge_factor)), []).append(live)
        for _, members in sorted(classes.items()):
            if len(members) >= self._settings.merge_factor:
                # Not more at a time: rows are copied on the way.
                return tuple(members[: self._settings.merge_factor])
        return ()

    @contextmanager
    def _owned(self) -> Iterator[None]:
        """One step of maintenance at a time, and none once the view cannot be trusted or the lock is gone."""
        with self._maintenance_lock:
            if self.broken or self._released:
                raise Unavailable("The shard is closed, or must be opened again after an error.")
            yield

    def _publish(self, manifest: Manifest, follow: Callable[[], None] | None = None) -> None:
        """Make a manifest the current one; the view follows; then remove what it does not need."""
        manifest = replace(manifest, generation=manifest.generation + 1)
        with files.disk_errors("publishing a manifest"):
            try:
                publish_manifest(self._directory, manifest)
            except files.UnknownOutcomeError:
                self._commits.broken = True
                raise
            except OSError:
                # Or else each attempt on a full disk leaves a segment more.
                with suppress(OSError):
                    remove_unnamed(self._directory, self._manifest)
                raise
        self._manifest = manifest
        if follow is not None:
            try:
                with self._apply_lock:
                    follow()
            except BaseException:
                # The view is behind the manifest; only opening the shard anew mends that.
                self._commits.broken = True
                raise
            self._counter.publish_generation(manifest.generation)
            remove_unnamed(self._directory, manifest)
        self._wal.drop_through(min(manifest.sealed_seq, manifest.flushed_seq))

    @cached_property
    def _table(self) -> "PointTable":
        return open_table(self._directory, self.spec)

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

    def _wait_for_room(self) -> None:
        """Hold writers back while the tail, which is searched row by row, is too long.

        Raises:
            Overloaded: It did not get shorter in time.
        """
        deadline_s = time.monotonic() + _ROOM_WITHIN_S
        while self._view.head.tail_rows >= _TAIL_MAX * self._settings.seal_rows:
            self._sealed.clear()
            self._due.set()
            if self._closing.is_set() or time.monotonic() > deadline_s:
                raise Overloaded("Writes come faster than they can be indexed; try again in a moment.")
            self._sealed.wait(0.5)

    def _maintain(self) -> None:
        while not self._closing.is_set() and not self.broken:
            self._due.wait(self._settings.flush_interval_s)
            self._due.clear()
            # One step that fails must not keep the others from their work.
            steps = (self._seal_if_due, self._flush_if_due, self._merge_all)
            failed = [step for step in steps if not self._attempt(step)]
            if failed:
                self._closing.wait(_RETRY_S)
                self._due.set()

    def _attempt(self, step: Callable[[], None]) -> bool:
        try:
            step()
        except BuildStoppedError:
            return True
        except BaseException:  # noqa: BLE001  (a panic of a Rust library is no Exception)
            # Whatever it was (a full disk, most likely), acknowledged writes are in the log: try again.
            _log.exception("shard_maintenance_failed", step=step.__name__, retry_s=_RETRY_S)
            return False
        return True

    def _seal_if_due(self) -> None:
        while self._seal_is_due() and not self._closing.is_set():
            self.seal()

    def _flush_if_due(self) -> None:
        if self._flush_is_due():
            self.flush()

    def _merge_all(self) -> None:
        while not self._closing.is_set() and not self._seal_is_due() and self.merge():
            pass


def _check_encodings(batch: PointBatch) -> None:
    """Refuse strings that UTF-8 cannot hold, and payloads that are no UTF-8."""
    try:
        for point_id in batch.ids:
            point_id.encode()
        for text in batch.texts:
            if text is not None:
                text.encode()
        for payload in batch.payloads:
            payload.decode()
    except UnicodeError:
        raise InvalidRequest("An id, a text or a payload is not valid Unicode text.") from None
