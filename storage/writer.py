"""ShardWriter: the one owner of a shard. Commits, seals, flushes, merges and recovers it.

Threads: the commit thread applies writes; the maintenance thread seals the tail into segments, which are
searched row by row, and writes the table; the compaction thread merges segments and builds their graphs,
which takes long, and holds up the others only to publish. Whatever they do, a search sees one consistent
point of history.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import structlog

from storage import files, shard
from storage.bulk import adopted, now_ms, remove_fragments
from storage.changes import Delete, DeleteMatching, Write
from storage.commit import GroupCommit
from storage.compaction import MIN_LIVE_TO_GROW, SegmentSize, plan
from storage.graph import BuildStoppedError
from storage.head import Head, LiveSegment, killed_in
from storage.log import WriteLog
from storage.manifest import GenerationCounter, Manifest, manifest_path, publish_manifest
from storage.reader import write_dead_rows
from storage.records import Records
from storage.recovery import open_table, recover
from storage.rows import SegmentRows
from storage.segment import Segment
from storage.segment_files import adopt_segment, merge_segments, write_segment
from storage.settings import StorageSettings
from vectoray.core.errors import (
    CorruptData,
    InvalidRequest,
    Overloaded,
    ShardLocked,
    Unavailable,
)
from vectoray.core.filters import Filter
from vectoray.core.hybrid import Candidate, HybridQuery
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

# A seal takes at most this many times `seal_rows` at once, a flush this many times `flush_rows`.
_SEAL_MAX = 2
_FLUSH_MAX = 2
# Rows of adopted segments go to the table so many at a time.
_ADOPTED_STEP = 16_384
# Writers wait while the tail is this many times `seal_rows` long.
_TAIL_MAX = 8
_ROOM_WITHIN_S = 60.0
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
            self._mark_adopted()
            self._counter = GenerationCounter(directory / shard.COUNTER, writable=True)
            self._counter.publish_seq(self._view.head.seq)
            self._counter.publish_generation(self._manifest.generation)
            self._apply_lock = threading.Lock()
            self._maintenance_lock = threading.Lock()
            self._compaction_lock = threading.Lock()
            # Locks are taken in this order: compaction, maintenance, the pause of commits, publish, apply.
            self._publish_lock = threading.Lock()
            self._due = threading.Event()
            self._compaction_due = threading.Event()
            self._has_room = threading.Event()
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
            self._compaction = threading.Thread(target=self._compact, name="shard-compaction", daemon=True)
            self._compaction_due.set()
            self._compaction.start()
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
        shard.check_batch(self.spec, batch)
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

    def search_hybrid(self, query: HybridQuery) -> list[Candidate]:
        """As `ShardView.search_hybrid`."""
        return self._view.search_hybrid(query)

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
        return is_flat or self._scanned_rows() > 2 * self._settings.seal_rows

    @property
    def directory(self) -> Path:
        """The shard's folder."""
        return self._directory

    def close(self, *, flush: bool = True) -> None:
        """Commit what waits, write the table if ``flush``, and give the shard to whoever comes next.

        Once is enough; again does nothing.
        """
        if self.closed:
            return
        self._closing.set()
        self._commits.close()
        self._due.set()
        self._compaction_due.set()
        self._maintenance.join()
        self._compaction.join()
        try:
            if flush and not self.broken:
                self.flush()
        finally:
            with self._compaction_lock, self._maintenance_lock, self._publish_lock:
                self._released = True
                self._counter.close()
                self._lock.release()

    # Maintenance: what it publishes, one step at a time.

    def seal(self) -> None:
        """Turn the oldest rows of the tail into a segment, and note which older rows ended meanwhile.

        Raises:
            OSError: Nothing changed.
            Unavailable: The shard is closed, or broken.
        """
        with self._owned():
            self._seal()
        self._has_room.set()
        self._compaction_due.set()

    def _seal(self) -> None:
        head = self._view.head
        sealed_seq = self._manifest.sealed_seq
        if head.seq == sealed_seq:
            return
        through, limit = head.seq, sealed_seq + _SEAL_MAX * self._settings.seal_rows
        if through > limit:
            through = self._wal.end_of_batch(sealed_seq, limit, default=head.seq)
        count = int(np.searchsorted(head.tail.seqs[: head.tail_rows], np.uint64(through), side="right"))
        rows = np.flatnonzero(head.killed_at[:count] > through)
        segment = self._seal_rows(head.tail.take(rows)) if len(rows) else None
        last_write_ms = head.last_write_ms
        if through < head.seq and count:
            last_write_ms = int(head.tail.updated_ms[count - 1])
        with self._removed_if_unnamed(segment):
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

    def merge(self) -> bool:
        """Merge the segments that `storage.compaction.plan` names, and build or grow their graph.

        Returns:
            Whether there were any.

        Raises:
            OSError: Nothing changed.
            BuildStoppedError: The shard is closing.
            Unavailable: The shard is closed, or broken.
        """
        with self._compaction_lock:
            with self._owned():
                merged, rows = self._to_merge()
                if not merged:
                    return False
                name = self._new_name()
            # Without the lock: meanwhile rows are sealed, and rows of these segments may end.
            segment = self._merge(name, merged, rows)
            with self._owned(), self._removed_if_unnamed(segment):
                # A bulk load ends rows in copies, which have taken the places of those that we began with.
                lives = {live.segment.name: live for live in self._view.head.segments}
                merged = [lives[live.segment.name] for live in merged]
                gone = {live.segment.name for live in merged}
                kept = [name for name in self._manifest.segments if name not in gone]
                dead = {name: file for name, file in self._manifest.dead.items() if name not in gone}
                if segment is not None:
                    kept.append(segment.name)
                    dead |= self._dead_file(segment.name, killed_in(merged, rows), self._manifest.sealed_seq)
                self._publish(
                    replace(self._manifest, segments=tuple(kept), dead=dead),
                    lambda: self._view.replace_segments(merged, rows, segment),
                )
        self._has_room.set()
        return True

    def optimize(self) -> None:
        """Seal every row there is and merge until nothing is left to merge.

        Raises:
            OSError, BuildStoppedError, Unavailable: As `seal` and `merge`.
        """
        through = self._view.head.seq
        while self._manifest.sealed_seq < through:
            self.seal()
        while self.merge():
            pass

    def commit_fragments(self, job: str, part: str, fragments: Sequence[Path]) -> bool:
        """Make the rows of a bulk load's part visible, all at once and exactly once; see `storage.bulk`.

        They replace what has their ids. They are durable when this returns; the next flush brings them to the
        table.

        Args:
            job: Names the load.
            part: Names the part of it.
            fragments: What `storage.bulk.write_fragment` returned for the part; of an id in several of them,
                the last counts. They are removed once they are committed.

        Returns:
            Whether it was done now; False if the part is committed already, and nothing changed.

        Raises:
            CorruptData: A fragment is gone, damaged or of another shard: write them again.
            OSError: Nothing changed.
            Unavailable: The shard is closed, or broken.
        """
        with self._owned():
            with self._commits.paused():
                parts = self._manifest.jobs.get(job, ())
                if part in parts:
                    self._mark_adopted()
                    return False
                self._adopt(fragments, {**self._manifest.jobs, job: tuple(sorted((*parts, part)))})
            for fragment in fragments:
                shutil.rmtree(fragment, ignore_errors=True)
        self._due.set()
        self._compaction_due.set()
        return True

    def forget_job(self, job: str) -> None:
        """Forget which parts of a bulk load are committed, and remove what is left of its fragments.

        Raises:
            OSError: Nothing changed.
            Unavailable: The shard is closed, or broken.
        """
        with self._owned():
            jobs = {name: parts for name, parts in self._manifest.jobs.items() if name != job}
            self._publish(replace(self._manifest, jobs=jobs))
            remove_fragments(self._directory, job)

    def _adopt(self, fragments: Sequence[Path], jobs: Mapping[str, tuple[str, ...]]) -> None:
        """Publish fragments as segments, with the ledger that says so. No write is committed meanwhile."""
        # What is in the tail was acknowledged before: the new rows come after it.
        while self._manifest.sealed_seq < self._view.head.seq:
            self._seal()
        seq, adopted_ms = self._view.head.seq, now_ms()
        segments: list[Segment] = []
        try:
            for fragment in fragments:
                directory = self._directory / shard.SEGMENTS / self._new_name()
                adopt_segment(fragment, directory, first_seq=seq + 1, updated_ms=adopted_ms)
                segments.append(self._open(directory))
                seq += len(segments[-1])
            lives = adopted(self._view.head, segments)
            dead: dict[str, str] = {}
            for live in lives:
                dead |= self._dead_file(live.segment.name, live.killed_at, seq)
        except BaseException:
            for segment in segments:
                shutil.rmtree(segment.directory, ignore_errors=True)
            raise
        self._publish(
            replace(
                self._manifest,
                sealed_seq=seq,
                adopted=(*self._manifest.adopted, (self._view.head.seq + 1, seq)),
                segments=(*self._manifest.segments, *(segment.name for segment in segments)),
                dead=dead,
                last_write_ms=max(self._manifest.last_write_ms, adopted_ms),
                jobs=jobs,
            ),
            lambda: self._view.adopt(lives, seq, adopted_ms),
        )
        self._mark_adopted()
        self._counter.publish_seq(seq)

    def _mark_adopted(self) -> None:
        with files.disk_errors("committing a bulk load"):
            for first, _ in self._manifest.adopted:
                self._wal.mark_adopted(first)

    @contextmanager
    def hold(self) -> Iterator[list[Path]]:
        """Let the shard stand still: no write is committed and nothing is published; searches go on.

        Writes wait, and so does whatever would publish. Seals, merges and flushes go on up to there, so a
        hold waits for none of them, but for a group commit or a part of a bulk load that is under way.
        Whoever holds must not call what would wait for the end.

        Yields:
            The files, relative to the shard's folder, that together are the shard as it is now, without the
            table: a shard opened without one fills a new one. None of them ever changes: a link made
            meanwhile keeps it.

        Raises:
            Unavailable: The shard is closed, or broken.
        """
        with self._commits.paused(), self._publish_lock:
            if self.broken or self._released:
                raise Unavailable("The shard is closed, or must be opened again after an error.")
            manifest = self._manifest
            paths = [self._directory / shard.SPEC, *self._wal.files(manifest.sealed_seq)]
            if manifest.generation:
                paths.append(manifest_path(self._directory, manifest.generation))
            for name in manifest.segments:
                paths += sorted((self._directory / shard.SEGMENTS / name).iterdir())
            paths += [self._directory / shard.DEAD / file for file in manifest.dead.values()]
            yield [path.relative_to(self._directory) for path in paths]

    def flush(self) -> None:
        """Write everything acknowledged so far to the LanceDB table.

        Raises:
            OSError: The table may hold a part; the next flush completes it.
            Unavailable: The shard is closed, or broken.
        """
        with self._owned():
            self._flush()

    def _flush(self) -> None:
        through = self._view.head.seq
        if through == self._manifest.flushed_seq:
            return
        # After a loss of power the table may be behind the manifest.
        start = min(self._manifest.flushed_seq, self._table.flushed_seq)
        if not self._flush_writes(start, through):
            with self._apply_lock:
                through, rows = self._view.head.seq, self._view.live_rows()
            self._table.rewrite(rows, through)
        waiting = tuple(run for run in self._manifest.adopted if run[1] > through)
        self._publish(replace(self._manifest, flushed_seq=through, adopted=waiting))
        self._flushed_at_s = time.monotonic()
        self._table.tidy()

    def _flush_writes(self, start: int, through: int) -> bool:
        """Bring the table from one state to a later one, in steps of bounded memory.

        Returns:
            Whether the log, the adopted segments and the table allow that.
        """
        try:
            for first, last in self._manifest.adopted:
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
        for records in self._wal.read_after(start):
            if records.last_seq <= through:
                step.append(records)
                reached = records.last_seq
            if records.last_seq >= through:
                # What follows may be a gap where segments were adopted.
                break
            if reached - step[0].first_seq >= _FLUSH_MAX * self._settings.flush_rows:
                self._table.apply(step, reached)
                step = []
        if step:
            self._table.apply(step, reached)
        if reached < through:
            raise CorruptData(f"The write log ends at {reached}, not at {through}.")

    def _flush_adopted(self, first: int, last: int) -> None:
        """Bring the table from write ``first - 1`` to write ``last`` by the rows of adopted segments.

        Without those that later ones among them replaced. What a merge has left out, or was dead when the
        shard was opened, was replaced or deleted by later writes, which follow.
        """
        for live in self._view.head.segments:
            seqs = live.segment.seqs
            of_run = (seqs >= np.uint64(first)) & (seqs <= np.uint64(last))
            # The earlier of two rows of an id may come last: merging changes the order of the segments.
            rows = np.flatnonzero(of_run & (live.killed_at > np.uint64(last)))
            for at in range(0, len(rows), _ADOPTED_STEP):
                self._table.put(live.segment.take(rows[at : at + _ADOPTED_STEP]))
        self._table.complete(last)

    def _seal_rows(self, rows: SegmentRows) -> Segment:
        """A segment without a graph: the compaction thread builds it."""
        directory = self._directory / shard.SEGMENTS / self._new_name()
        write_segment(directory, rows, metric=self.spec.metric, options=self.spec.index, with_graph=False)
        return self._open(directory)

    def _merge(
        self, name: str, merged: Sequence[LiveSegment], rows: Sequence[npt.NDArray[np.int64]]
    ) -> Segment | None:
        if not sum(map(len, rows)):
            return None
        directory = self._directory / shard.SEGMENTS / name
        merge_segments(
            directory,
            [(live.segment, part) for live, part in zip(merged, rows, strict=True)],
            metric=self.spec.metric,
            options=self.spec.index,
            should_stop=self._closing.is_set,
        )
        return self._open(directory)

    def _open(self, directory: Path) -> Segment:
        try:
            return Segment(directory, self.spec.metric, self.spec.index, verify=False)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise

    @contextmanager
    def _removed_if_unnamed(self, segment: Segment | None) -> Iterator[None]:
        """Remove a new segment if an error comes before a manifest names it."""
        try:
            yield
        except BaseException:
            # Or else each attempt on a full disk leaves a segment more.
            if segment is not None and not self.broken and segment.name not in self._manifest.segments:
                shutil.rmtree(segment.directory, ignore_errors=True)
            raise

    def _new_name(self) -> str:
        """A name for a segment. It is used up even if the segment is never made."""
        name = f"{self._manifest.next_segment:08d}"
        self._manifest = replace(self._manifest, next_segment=self._manifest.next_segment + 1)
        return name

    def _to_merge(self) -> tuple[list[LiveSegment], list[npt.NDArray[np.int64]]]:
        """The segments to merge next, and of each the rows to take."""
        # A row that ended after the last seal stays: by the manifest, and without the log, it lives.
        sealed_seq = self._manifest.sealed_seq
        alive = {
            live.segment.name: np.flatnonzero(live.killed_at > sealed_seq)
            for live in self._view.head.segments
        }
        lives = {live.segment.name: live for live in self._view.head.segments}
        names = plan(
            [
                SegmentSize(name, len(live.segment), len(alive[name]), live.segment.indexed)
                for name, live in lives.items()
            ],
            merge_factor=self._settings.merge_factor,
            max_rows=self._settings.merge_max_rows,
            with_graphs=self.spec.index.kind is IndexKind.HNSW,
        )
        rows = [alive[name] for name in names]
        if names:
            first = lives[names[0]].segment
            if len(names) > 1 and first.graph is not None and len(rows[0]) >= MIN_LIVE_TO_GROW * len(first):
                # Its graph can only grow if its rows keep their numbers, the dead ones too.
                rows[0] = np.arange(len(first), dtype=np.int64)
        return [lives[name] for name in names], rows

    def _dead_rows(self, head: Head, through: int) -> dict[str, str]:
        dead: dict[str, str] = {}
        for live in head.segments:
            dead |= self._dead_file(live.segment.name, live.killed_at, through)
        return dead

    def _dead_file(self, name: str, killed_at: npt.NDArray[np.uint64], through: int) -> dict[str, str]:
        """The manifest's entry that lists a segment's rows that ended up to a write, if there are any."""
        rows = np.flatnonzero(killed_at <= through).astype(np.uint32)
        return {name: write_dead_rows(self._directory, name, rows)} if len(rows) else {}

    def _scanned_rows(self) -> int:
        """Rows that a search compares one by one."""
        head = self._view.head
        return head.tail_rows + sum(len(live.segment) for live in head.segments if live.segment.graph is None)

    def _unindexed_rows(self) -> int:
        """Rows that wait for a graph."""
        if self.spec.index.kind is IndexKind.FLAT:
            return 0
        return sum(len(live.segment) for live in self._view.head.segments if not live.segment.indexed)

    @contextmanager
    def _owned(self) -> Iterator[None]:
        """One step of maintenance at a time, and none once the view cannot be trusted or the lock is gone."""
        with self._maintenance_lock:
            if self.broken or self._released:
                raise Unavailable("The shard is closed, or must be opened again after an error.")
            try:
                yield
            except ShardLocked:
                # A later owner has the table: this one must not acknowledge anything more.
                self._commits.broken = True
                raise

    def _publish(self, manifest: Manifest, follow: Callable[[], None] | None = None) -> None:
        """Make a manifest the current one; the view follows; then remove what is no longer named."""
        with self._publish_lock:
            before, manifest = self._manifest, replace(manifest, generation=self._manifest.generation + 1)
            with files.disk_errors("publishing a manifest"):
                try:
                    publish_manifest(self._directory, manifest)
                except files.UnknownOutcomeError:
                    self._commits.broken = True
                    raise
                except OSError:
                    # Or else each attempt on a full disk leaves a segment more.
                    with suppress(OSError):
                        self._remove_dropped(manifest, before)
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
                self._remove_dropped(before, manifest)
            self._wal.drop_through(min(manifest.sealed_seq, manifest.flushed_seq))

    def _remove_dropped(self, before: Manifest, after: Manifest) -> None:
        """Remove the files that only the first manifest names. Mapped files outlive their names."""
        for name in set(before.segments) - set(after.segments):
            shutil.rmtree(self._directory / shard.SEGMENTS / name)
        for file in set(before.dead.values()) - set(after.dead.values()):
            (self._directory / shard.DEAD / file).unlink(missing_ok=True)

    @cached_property
    def _table(self) -> "PointTable":
        # Not before the first flush: a shard can be opened, and read, on a full disk.
        self._publish(replace(self._manifest, epoch=self._manifest.epoch + 1))
        return open_table(
            self._directory,
            self.spec,
            epoch=self._manifest.epoch,
            keep_versions_s=self._settings.table_versions_keep_s,
        )

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
        """Hold writers back while too many rows are searched one by one.

        Raises:
            Overloaded: It did not get shorter in time.
        """
        deadline_s = time.monotonic() + _ROOM_WITHIN_S
        while self._is_full():
            self._has_room.clear()
            self._due.set()
            self._compaction_due.set()
            if self._closing.is_set() or time.monotonic() > deadline_s:
                raise Overloaded("Writes come faster than they can be indexed; try again in a moment.")
            self._has_room.wait(0.5)

    def _is_full(self) -> bool:
        return (
            self._view.head.tail_rows >= _TAIL_MAX * self._settings.seal_rows
            or self._unindexed_rows() >= self._settings.max_unindexed_rows
        )

    def _maintain(self) -> None:
        while not self._closing.is_set() and not self.broken:
            self._due.wait(self._settings.flush_interval_s)
            self._due.clear()
            # One step that fails must not keep the other from its work.
            failed = [step for step in (self._seal_if_due, self._flush_if_due) if not self._attempt(step)]
            if failed:
                self._closing.wait(_RETRY_S)
                self._due.set()

    def _compact(self) -> None:
        while not self._closing.is_set() and not self.broken:
            self._compaction_due.wait()
            self._compaction_due.clear()
            if not self._attempt(self._merge_all):
                self._closing.wait(_RETRY_S)
                self._compaction_due.set()

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
        while not self._closing.is_set() and self.merge():
            pass
