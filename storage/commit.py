"""Group commit: writes that wait together share one durable file.

One thread takes what is waiting, resolves it in order of arrival, writes it to the log, applies it to the
view, tells readers, and only then acknowledges. (Gawlick and Kinkade 1985 named the technique.)
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage import files
from storage.changes import Change, DeleteMatching, Resolution
from storage.owned_shard import OwnedShard
from storage.records import Records
from storage.settings import StorageSettings
from vectoray.core.errors import Overloaded, Unavailable


class GroupCommit:
    """The commit thread of one shard."""

    def __init__(
        self,
        owned: OwnedShard,
        settings: StorageSettings,
        *,
        wait_for_room: Callable[[], None],
        on_commit: Callable[[Records], None],
    ) -> None:
        """Start the thread.

        Args:
            owned: The shard.
            settings: Limits of a group and of the queue.
            wait_for_room: Returns once the view has room for another group, or raises.
            on_commit: Called with each durable group, before it is acknowledged.
        """
        self._owned, self._settings = owned, settings
        self._wait_for_room, self._on_commit = wait_for_room, on_commit
        self._changed = threading.Condition()
        self._committing = threading.Lock()
        self._waiting: deque[Change] = deque()
        self._waiting_bytes = 0
        self._closed = False
        self._busy_since_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="shard-commit", daemon=True)
        self._thread.start()

    def submit(self, change: Change) -> None:
        """Queue a change; its ``done`` resolves once it is durable and visible.

        Raises:
            Overloaded: Too much is waiting for the disk.
            Unavailable: The shard is closing.
        """
        with self._changed:
            if self._closed:
                raise Unavailable("The shard is closing.")
            self._refuse_if_broken()
            if self._waiting and self._waiting_bytes + change.size_bytes > self._settings.max_pending_bytes:
                raise Overloaded("Too many writes are waiting for the disk; try again in a moment.")
            self._waiting.append(change)
            self._waiting_bytes += change.size_bytes
            self._changed.notify()

    @property
    def busy_s(self) -> float:
        """For how many seconds the thread has been writing one group; without an end if it died."""
        if not self._thread.is_alive():
            return 0.0 if self._closed else math.inf
        since_s = self._busy_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let no group begin, nor be half-way through; those that come wait."""
        with self._committing:
            yield

    def close(self) -> None:
        """Commit what is waiting, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._take():
            self._commit([change for change in group if change.done.set_running_or_notify_cancel()])

    def _take(self) -> list[Change]:
        """What is waiting, up to about the size of a group; nothing once closed and empty.

        A condition is looked up in the view, so it begins a group: the view then holds all before it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            group: list[Change] = []
            rows = 0
            while self._waiting and rows < self._settings.max_commit_rows:
                if group and isinstance(self._waiting[0], DeleteMatching):
                    break
                change = self._waiting.popleft()
                self._waiting_bytes -= change.size_bytes
                rows += change.rows
                group.append(change)
            return group

    def _commit(self, group: list[Change]) -> None:
        try:
            # Before the lock: room is made by maintenance, which may be waiting for a pause.
            self._wait_for_room()
            with self._committing:
                self._refuse_if_broken()
                self._busy_since_s = time.monotonic()
                resolved = Resolution(self._owned.view, group)
                if len(resolved.records):
                    self._append(resolved.records)
                    self._make_visible(resolved.records)
        except BaseException as error:  # noqa: BLE001  (whoever waits must hear of it, whatever it is)
            for change in group:
                change.done.set_exception(error)
            return
        finally:
            self._busy_since_s = None
        resolved.answer()

    def _append(self, records: Records) -> None:
        with files.disk_errors("writing a batch"):
            try:
                self._owned.log.append(records)
            except files.UnknownOutcomeError:
                # What is in the log is no longer what is visible; only opening the shard anew mends that.
                self._owned.broken = True
                raise

    def _refuse_if_broken(self) -> None:
        if self._owned.broken:
            raise Unavailable("The shard must be opened again after an error; try again in a moment.")

    def _make_visible(self, records: Records) -> None:
        try:
            with self._owned.apply_lock:
                self._owned.view.apply(records)
            self._on_commit(records)
        except BaseException:
            # The group is durable but not wholly visible; only opening the shard anew mends that.
            self._owned.broken = True
            raise
