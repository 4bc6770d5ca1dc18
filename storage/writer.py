"""ShardWriter: the one owner of a shard. Takes writes, answers reads, and keeps the shard in order.

Threads: the commit thread (`storage.commit`) applies writes; the maintenance thread seals the tail into
segments (`storage.sealing`), which are searched row by row, and writes the table (`storage.flushing`); two
more merge segments and build their graphs (`storage.merging`), which takes long, and hold up the others only
to publish. One of them leaves large segments alone, so that new rows never wait for those. Whatever they do,
a search sees one consistent point of history.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from storage import adoption, sealing, shard
from storage.changes import Delete, DeleteMatching, Write
from storage.commit import GroupCommit
from storage.flushing import Flusher
from storage.graph import BuildStoppedError
from storage.head import Head
from storage.log import WriteLog
from storage.merging import Merger
from storage.owned_shard import OwnedShard
from storage.records import Records, WriteRun
from storage.settings import StorageSettings
from vectoray.core.errors import InvalidRequest, Overloaded
from vectoray.core.filters import Filter
from vectoray.core.hybrid import Candidate, HybridQuery
from vectoray.core.model import (
    CollectionStats,
    Point,
    PointBatch,
    SearchQuery,
    SearchResult,
    WriteMode,
    WriteResult,
)

_log = structlog.get_logger(__name__)

# Writers wait while the tail is this many times `seal_rows` long.
_TAIL_MAX = 8
_ROOM_WITHIN_S = 60.0
_RETRY_S = 5.0
# A shard rests when nothing was written for so long: so many rows of its tail are sealed, and its segments
# are merged further than is due.
_RESTS_AFTER_S = 15.0
_RESTING_SEAL_ROWS = 512
# Or when so little is written that nothing was sealed for so long: then its segments are merged.
_UNSEALED_S = 300.0
# Such a merge gives way once as many new rows wait as this part of what writers may leave without a graph.
_GIVE_WAY_PART = 4


class ShardWriter:
    """The owner of one shard: opened by one process at a time, used by any number of its threads."""

    def __init__(
        self,
        directory: Path,
        settings: StorageSettings,
        *,
        listener: Callable[[WriteRun], None] | None = None,
    ) -> None:
        """Open a shard and bring it to the state of its last acknowledged write.

        Args:
            directory: The shard's folder.
            settings: How it is kept.
            listener: Told of each group of writes before it is acknowledged, by the commit thread: it must be
                quick and raise nothing. What it has not said to be `announced` stays in the log.

        Raises:
            ShardLocked: Another process owns it.
            CorruptData: What is left cannot give back every acknowledged write; nothing was changed.
            FileNotFoundError: There is no shard.
        """
        self._settings, self._listener = settings, listener
        self._owned = OwnedShard(directory)
        if listener is not None:
            self._owned.announced_seq = 0
        self.spec = self._owned.spec
        self._view = self._owned.view
        with ExitStack() as undo:
            undo.callback(self._owned.release)
            self._merger = Merger(self._owned, settings)
            self._flusher = Flusher(self._owned, settings)
            self._due = threading.Event()
            self._bounded_due, self._compaction_due = threading.Event(), threading.Event()
            self._has_room = threading.Event()
            self._closing = threading.Event()
            self._written_at_s = self._sealed_at_s = time.monotonic()
            # What a rebuild left takes minutes to get a graph: no reason to hold writers back.
            self._rebuilt = {
                live.segment.name
                for live in self._view.head.segments
                if not live.segment.indexed and len(live.segment) >= settings.max_unindexed_rows
            }
            self._commits = GroupCommit(
                self._owned, settings, wait_for_room=self._wait_for_room, on_commit=self._committed
            )
            undo.callback(self._commits.close)
            self._maintenance = threading.Thread(target=self._maintain, name="shard-maintenance", daemon=True)
            undo.callback(self._due.set)
            undo.callback(self._call_for_merges)
            undo.callback(self._closing.set)
            self._maintenance.start()
            self._compaction = [
                threading.Thread(target=self._compact, args=(due,), name=name, daemon=True)
                for due, name in (
                    (self._bounded_due, "shard-indexing"),
                    (self._compaction_due, "shard-compaction"),
                )
            ]
            for thread in self._compaction:
                thread.start()
            self._call_for_merges()
            undo.pop_all()

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
        return CollectionStats(
            points=head.points,
            last_write_ms=head.last_write_ms,
            index_bytes=sum(live.segment.size_bytes for live in head.segments),
            records=head.tail_rows + sum(len(live.segment) for live in head.segments),
            writes=head.seq,
        )

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing.is_set()

    @property
    def broken(self) -> bool:
        """Whether an error left this owner unable to go on; what was acknowledged is safe."""
        return self._owned.broken

    @property
    def head(self) -> Head:
        """What is live now, for `storage.search.search`."""
        return self._view.head

    @property
    def log(self) -> WriteLog:
        """The shard's log, for reading. It may hold a write that is not acknowledged, and is taken back."""
        return self._owned.log

    def announced(self, through: int) -> None:
        """Let the log drop what was written up to a write: whoever listens needs it no more."""
        self._owned.announced_seq = through

    @property
    def stuck_s(self) -> float:
        """For how many seconds one group of writes has been on its way to the disk; 0 if none is."""
        return self._commits.busy_s

    @property
    def directory(self) -> Path:
        """The shard's folder."""
        return self._owned.directory

    def close(self, *, flush: bool = True) -> None:
        """Commit what waits, write the table if ``flush``, and give the shard to whoever comes next.

        Once is enough; again does nothing.
        """
        if self.closed:
            return
        self._closing.set()
        self._commits.close()
        self._due.set()
        self._call_for_merges()
        for thread in (self._maintenance, *self._compaction):
            thread.join()
        try:
            if flush and not self.broken:
                self.flush()
        finally:
            self._merger.stop()
            self._owned.release()

    # Maintenance: what it publishes, one step at a time.

    def seal(self) -> None:
        """Turn the oldest rows of the tail into a segment, and note which older rows ended meanwhile.

        Raises:
            OSError: Nothing changed.
            Unavailable: The shard is closed, or broken.
        """
        with self._owned.step():
            sealing.seal(self._owned, seal_rows=self._settings.seal_rows)
        self._sealed_at_s = time.monotonic()
        self._has_room.set()
        self._call_for_merges()

    def merge(self) -> bool:
        """As `storage.merging.Merger.merge`, what is due; stops when the shard closes."""
        try:
            return self._merger.merge(should_stop=self._closing.is_set)
        finally:
            self._merged()

    def optimize(self) -> None:
        """Seal every row there is and merge until searches are as quick as they can be.

        While writes go on, it may not return before they end.

        Raises:
            OSError, BuildStoppedError, Unavailable: As `seal` and `merge`.
        """
        through = self._view.head.seq
        while self._owned.manifest.sealed_seq < through:
            self.seal()
        try:
            while (
                self._merger.merge(resting=True, should_stop=self._closing.is_set)
                or self._merger.wait_for_others()
            ):
                self._has_room.set()
        finally:
            self._merged()

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
        with self._owned.step():
            if job not in self._owned.manifest.jobs:
                adoption.forget_abandoned(self._owned)
            done = adoption.commit_part(
                self._owned, self._commits, job, part, fragments, seal_rows=self._settings.seal_rows
            )
        self._written_at_s = time.monotonic()
        self._due.set()
        self._call_for_merges()
        return done

    def committed_parts(self, job: str) -> frozenset[str]:
        """The parts of a bulk load that are committed."""
        return frozenset(self._owned.manifest.jobs.get(job, ()))

    def forget_job(self, job: str) -> None:
        """Forget which parts of a bulk load are committed, and remove what is left of its fragments.

        Raises:
            OSError: Nothing changed.
            Unavailable: The shard is closed, or broken.
        """
        with self._owned.step():
            adoption.forget(self._owned, job)

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
        with self._commits.paused(), self._owned.frozen_files() as paths:
            yield paths

    def flush(self) -> None:
        """Write everything acknowledged so far to the LanceDB table.

        Raises:
            OSError: The table may hold a part; the next flush completes it.
            Unavailable: The shard is closed, or broken.
        """
        with self._owned.step():
            self._flusher.flush()

    def _unindexed_rows(self) -> int:
        """Rows that wait for a graph."""
        if not self.spec.index.kind.is_graph:
            return 0
        return sum(
            len(live.segment)
            for live in self._view.head.segments
            if not live.segment.indexed and live.segment.name not in self._rebuilt
        )

    # The maintenance thread.

    def _committed(self, records: Records) -> None:
        self._owned.counter.publish_seq(records.last_seq)
        self._written_at_s = time.monotonic()
        if self._listener is not None:
            self._listener(records.run)
        if self._seal_is_due() or self._flusher.is_due():
            self._due.set()

    def _seal_is_due(self) -> bool:
        waiting = self._view.head.seq - self._owned.manifest.sealed_seq
        return waiting >= self._settings.seal_rows or (waiting >= _RESTING_SEAL_ROWS and self._is_quiet())

    def _is_quiet(self) -> bool:
        return time.monotonic() - self._written_at_s >= _RESTS_AFTER_S

    def _rests(self) -> bool:
        return self._is_quiet() or time.monotonic() - self._sealed_at_s >= _UNSEALED_S

    def _may_merge_at_rest(self) -> bool:
        # What is about to be sealed, or is being merged, is merged with the rest.
        return self._rests() and not self._seal_is_due() and not self._merger.is_busy

    def _wait_for_room(self) -> None:
        """Hold writers back while too many rows are searched one by one.

        Raises:
            Overloaded: It did not get shorter in time.
        """
        deadline_s = time.monotonic() + _ROOM_WITHIN_S
        while self._is_full():
            self._has_room.clear()
            self._due.set()
            self._call_for_merges()
            if self._closing.is_set() or time.monotonic() > deadline_s:
                raise Overloaded("Writes come faster than they can be indexed; try again in a moment.")
            self._has_room.wait(0.5)

    def _is_full(self) -> bool:
        return (
            self._view.head.tail_rows >= _TAIL_MAX * self._settings.seal_rows
            or self._unindexed_rows() >= self._settings.max_unindexed_rows
        )

    def _forget_abandoned(self) -> None:
        with self._owned.step():
            adoption.forget_abandoned(self._owned)

    def _maintain(self) -> None:
        self._attempt(self._forget_abandoned)
        while not self._closing.is_set() and not self.broken:
            self._due.wait(min(self._settings.flush_interval_s, _RESTS_AFTER_S))
            self._due.clear()
            # One step that fails must not keep the other from its work.
            failed = [step for step in (self._seal_if_due, self._flush_if_due) if not self._attempt(step)]
            if failed:
                self._closing.wait(_RETRY_S)
                self._due.set()

    def _merged(self) -> None:
        self._has_room.set()
        # What was taken may be merged with others now, or is left to the threads.
        self._call_for_merges()

    def _call_for_merges(self) -> None:
        self._bounded_due.set()
        self._compaction_due.set()

    def _compact(self, due: threading.Event) -> None:
        bounded = due is self._bounded_due
        # Only one of the two merges what is not due.
        rests = bounded
        while not self._closing.is_set() and not self.broken:
            is_due = due.wait(None if rests else _RESTS_AFTER_S)
            if not is_due and not self._may_merge_at_rest():
                continue
            if is_due:
                due.clear()
            # What nobody waits for is not tried again until something new comes.
            if not self._attempt(self._merge_all, resting=not is_due, bounded=bounded) and is_due:
                self._closing.wait(_RETRY_S)
                due.set()
            rests = bounded or not is_due

    def _attempt(self, step: Callable[..., None], **options: bool) -> bool:
        try:
            step(**options)
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
        if self._flusher.is_due():
            self.flush()

    def _merge_all(self, *, resting: bool, bounded: bool) -> None:
        """Merge what is due or, of a shard that rests, whatever makes searches quicker."""
        most = self._unindexed_rows() + self._settings.max_unindexed_rows // _GIVE_WAY_PART

        def should_stop() -> bool:
            return self._closing.is_set() or (resting and self._unindexed_rows() > most)

        while not should_stop() and self._merger.merge(
            resting=resting, bounded=bounded, should_stop=should_stop
        ):
            self._merged()
            if resting and not self._may_merge_at_rest():
                return
