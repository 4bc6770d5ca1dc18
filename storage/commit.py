"""Group commit: writes that wait together share one durable file.

One thread takes what is waiting, resolves it in order of arrival, writes it to the log, applies it to the
view, tells readers, and only then acknowledges. (Gawlick and Kinkade 1985 named the technique.)
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from storage import files
from storage.log import WriteLog
from storage.records import Records
from storage.settings import StorageSettings
from storage.view import ShardView
from vectoray.core.errors import Overloaded, Unavailable
from vectoray.core.model import EMPTY_PAYLOAD, PointBatch


@dataclass(slots=True)
class Upsert:
    """Points to write; the result is how many."""

    batch: PointBatch
    done: "Future[int]" = field(default_factory=Future)
    size_bytes: int = 0

    def __post_init__(self) -> None:
        """About how much memory the write holds while it waits."""
        characters = sum(map(len, self.batch.payloads)) + sum(len(text or "") for text in self.batch.texts)
        self.size_bytes = self.batch.vectors.nbytes + characters + 64 * len(self.batch)


@dataclass(slots=True)
class Delete:
    """Ids to delete; the result is those that existed, in the order given."""

    ids: Sequence[str]
    done: "Future[list[str]]" = field(default_factory=Future)

    size_bytes: int = 0

    def __post_init__(self) -> None:
        """About how much memory the write holds while it waits."""
        self.size_bytes = 64 * len(self.ids)


Write = Upsert | Delete


class GroupCommit:
    """The commit thread of one shard."""

    def __init__(
        self,
        log: WriteLog,
        view: ShardView,
        settings: StorageSettings,
        *,
        apply_lock: threading.Lock,
        wait_for_room: Callable[[], None],
        on_commit: Callable[[int], None],
    ) -> None:
        """Start the thread.

        Args:
            log: Where groups are written.
            view: Where they become visible.
            settings: Limits of a group and of the queue.
            apply_lock: Held while the view changes.
            wait_for_room: Returns once the view has room for another group, or raises.
            on_commit: Called with the last sequence number of each durable group, before it is acknowledged.
        """
        self._log, self._view, self._settings = log, view, settings
        self._apply_lock, self._wait_for_room, self._on_commit = apply_lock, wait_for_room, on_commit
        self._changed = threading.Condition()
        self._waiting: deque[Write] = deque()
        self._waiting_bytes = 0
        self._closed = False
        self.broken = False
        self._thread = threading.Thread(target=self._run, name="shard-commit", daemon=True)
        self._thread.start()

    def submit(self, write: Write) -> None:
        """Queue a write; its ``done`` resolves once it is durable and visible.

        Raises:
            Overloaded: Too much is waiting for the disk.
            Unavailable: The shard is closing.
        """
        with self._changed:
            if self._closed:
                raise Unavailable("The shard is closing.")
            self._refuse_if_broken()
            if self._waiting and self._waiting_bytes + write.size_bytes > self._settings.max_pending_bytes:
                raise Overloaded("Too many writes are waiting for the disk; try again in a moment.")
            self._waiting.append(write)
            self._waiting_bytes += write.size_bytes
            self._changed.notify()

    def close(self) -> None:
        """Commit what is waiting, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._take():
            self._commit([write for write in group if write.done.set_running_or_notify_cancel()])

    def _take(self) -> list[Write]:
        """What is waiting, up to about the size of a group; nothing once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            group: list[Write] = []
            rows = 0
            while self._waiting and rows < self._settings.max_commit_rows:
                write = self._waiting.popleft()
                self._waiting_bytes -= write.size_bytes
                rows += len(write.batch) if isinstance(write, Upsert) else len(write.ids)
                group.append(write)
            return group

    def _commit(self, group: list[Write]) -> None:
        try:
            self._refuse_if_broken()
            self._wait_for_room()
            records, deleted = self._resolve(group)
            if len(records):
                self._append(records)
                self._make_visible(records)
        except BaseException as error:  # noqa: BLE001  (whoever waits must hear of it, whatever it is)
            for write in group:
                write.done.set_exception(error)
            return
        for write in group:
            if isinstance(write, Upsert):
                write.done.set_result(len(write.batch))
            else:
                write.done.set_result(deleted[id(write)])

    def _append(self, records: Records) -> None:
        with files.disk_errors("writing a batch"):
            try:
                self._log.append(records)
            except files.UnknownOutcomeError:
                # What is in the log is no longer what is visible; only opening the shard anew mends that.
                self.broken = True
                raise

    def _refuse_if_broken(self) -> None:
        if self.broken:
            raise Unavailable("The shard must be opened again after an error; try again in a moment.")

    def _make_visible(self, records: Records) -> None:
        try:
            with self._apply_lock:
                self._view.apply(records)
            self._on_commit(records.last_seq)
        except BaseException:
            # The group is durable but not wholly visible; only opening the shard anew mends that.
            self.broken = True
            raise

    def _resolve(self, group: list[Write]) -> tuple[Records, dict[int, list[str]]]:
        """The group as records, in order of arrival; and for each delete, the ids that existed by then."""
        ids: list[str] = []
        payloads: list[bytes] = []
        texts: list[str | None] = []
        deleted_rows: list[int] = []
        matrices = [np.empty((0, self._view.dimension), dtype=np.float32)]
        deleted: dict[int, list[str]] = {}
        present: dict[str, bool] = {}
        for write in group:
            if isinstance(write, Upsert):
                ids += write.batch.ids
                payloads += write.batch.payloads
                texts += write.batch.texts
                matrices.append(write.batch.vectors)
                present.update(dict.fromkeys(write.batch.ids, True))
                continue
            existing = []
            for point_id in write.ids:
                if present.get(point_id) or (point_id not in present and self._view.contains(point_id)):
                    existing.append(point_id)
                    present[point_id] = False
            deleted_rows += range(len(ids), len(ids) + len(existing))
            ids += existing
            payloads += [EMPTY_PAYLOAD] * len(existing)
            texts += [None] * len(existing)
            deleted[id(write)] = existing
        is_deleted = np.zeros(len(ids), dtype=np.bool_)
        is_deleted[deleted_rows] = True
        records = Records(
            first_seq=self._view.head.seq + 1,
            ids=ids,
            updated_ms=np.full(len(ids), time.time_ns() // 1_000_000, dtype=np.int64),
            deleted=is_deleted,
            vectors=np.concatenate(matrices),
            payloads=payloads,
            texts=texts,
        )
        return records, deleted
