"""Counts and times what a process does to make its writes survive loss of power."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock


class FsyncCount:
    """The fsyncs of the write log of one shard, as they happen.

    Attributes:
        started: How many of a file in the log were begun: one for each group of writes.
        finished: How many of those returned.
        folders: How many were of the log's folder.
        seconds: How long each took, of files and folder.
        others: Those of other files, by the folder of the shard.
    """

    def __init__(self, log: Path) -> None:
        self._log = log.resolve()
        self._lock = Lock()
        self.started = 0
        self.finished = 0
        self.folders = 0
        self.seconds: list[float] = []
        self.others: Counter[str] = Counter()

    def counted(self, call: Callable[[int], None]) -> Callable[[int], None]:
        """The system call, counted."""

        def counting(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{int(descriptor)}").readlink()
            if self._log not in {path, path.parent}:
                call(descriptor)
                parents = path.parts[len(self._log.parts) - 1 :]
                with self._lock:
                    self.others[parents[0] if len(parents) > 1 else "shard"] += 1
                return
            is_file = path != self._log
            with self._lock:
                self.started += is_file
            begin_s = time.perf_counter()
            call(descriptor)
            with self._lock:
                self.seconds.append(time.perf_counter() - begin_s)
                self.finished += is_file
                self.folders += not is_file

        return counting


@contextmanager
def count_fsyncs(log: Path) -> Iterator[FsyncCount]:
    """Count every fsync of this process while the block runs.

    Args:
        log: The folder of the shard's write log.
    """
    count = FsyncCount(log)
    fsync, fdatasync = os.fsync, os.fdatasync
    os.fsync, os.fdatasync = count.counted(fsync), count.counted(fdatasync)  # type: ignore[assignment]
    try:
        yield count
    finally:
        os.fsync, os.fdatasync = fsync, fdatasync
