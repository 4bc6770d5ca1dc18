"""What a shard has written and is not in the event log yet: in memory what fits, the rest in log files."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from storage.events import ShardKey, ShardRun
from storage.log import WriteLog
from storage.records import WriteRun
from storage.writer import ShardWriter
from vectoray.core.errors import CorruptData

_log = structlog.get_logger(__name__)

# A step has no more writes than this and one group commit.
_STEP_WRITES = 8192


class Budget:
    """How many writes may be in memory, over all shards of a process. Held for moments."""

    def __init__(self, writes: int) -> None:
        self.lock = threading.Lock()
        self._most = writes
        self.taken = 0

    def take(self, writes: int) -> bool:
        """Whether there is room for as many more; then it is taken. Under the lock."""
        if self.taken + writes > self._most:
            return False
        self.taken += writes
        return True


class UnpublishedWrites:
    """Of one shard, while one owner has it. The commit thread adds; one thread at a time publishes.

    Attributes:
        published: Up to which write the shard's events are in the event log; None while that is not known, or
            the shard may not append.
    """

    def __init__(self, key: ShardKey, budget: Budget, wake: Callable[["UnpublishedWrites"], None]) -> None:
        """Begin with nothing.

        Args:
            key: The shard.
            budget: Shared with the other shards of the process.
            wake: Called after each write.
        """
        self.key = key
        self.published: int | None = None
        self._budget, self._wake = budget, wake
        self._runs: deque[WriteRun] = deque()
        self._writer: ShardWriter | None = None

    def add(self, run: WriteRun) -> None:
        """Take note of a group of writes that is in the shard's log and visible."""
        with self._budget.lock:
            # What does not fit is missed when its turn comes, and read from the log.
            if self._budget.take(len(run)):
                self._runs.append(run)
        self._wake(self)

    def belongs_to(self, writer: ShardWriter) -> None:
        """Say whose writes these are. Once, before there are any."""
        self._writer = writer

    @property
    def written_seq(self) -> int:
        """The shard's newest write."""
        return 0 if self._writer is None else self._writer.head.seq

    def advance(self, published: int | None) -> None:
        """Take note of how far the shard's events are in the event log."""
        self.published = published
        if published is not None:
            self._forget(published)
            if self._writer is not None:
                self._writer.announced(published)

    def forget(self) -> None:
        """Give back the memory: the shard has another owner, or none."""
        with self._budget.lock:
            self._budget.taken -= sum(map(len, self._runs))
            self._runs.clear()

    def next_step(self) -> ShardRun | None:
        """What comes next, some thousand writes at most; None if everything is published.

        Raises:
            OSError: The log cannot be read now.
        """
        after, writer = self.published, self._writer
        if after is None or writer is None:
            return None
        # Before the look into memory: what is visible is there, or will be in a moment, and in the log.
        through = writer.head.seq
        runs = self._in_memory(after)
        if runs:
            return ShardRun(self.key, after, runs[-1].last_seq, tuple(runs))
        return step_of_log(self.key, writer.log, after, through) if through > after else None

    def _in_memory(self, after: int) -> list[WriteRun]:
        """Writes that follow ``after`` without a gap."""
        found: list[WriteRun] = []
        writes = 0
        with self._budget.lock:
            for run in self._runs:
                if run.first_seq != after + 1 or writes >= _STEP_WRITES:
                    break
                found.append(run)
                after, writes = run.last_seq, writes + len(run)
        return found

    def _forget(self, through: int) -> None:
        with self._budget.lock:
            while self._runs and self._runs[0].last_seq <= through:
                self._budget.taken -= len(self._runs.popleft())


def step_of_log(key: ShardKey, log: WriteLog, after: int, through: int | None = None) -> ShardRun | None:
    """The next step of a shard, from its log files.

    Args:
        key: The shard.
        log: Its log.
        after: Up to which write its events are in the event log.
        through: The last write to look at, the end of a batch. What of the writes up to it is in no batch, as
            those of a bulk load, has no events. None: all that is in the log.

    Returns:
        None if there is nothing, which cannot be where there is a ``through`` beyond ``after``.
    """
    runs: list[WriteRun] = []
    writes = 0
    for first_seq in log.batches(after):
        if through is not None and first_seq > through:
            break
        if writes >= _STEP_WRITES:
            return ShardRun(key, after, runs[-1].last_seq, tuple(runs))
        run = _read(key, log, first_seq)
        if run is not None:
            runs.append(run)
            writes += len(run)
    if through is None and not runs:
        return None
    return ShardRun(key, after, runs[-1].last_seq if through is None else through, tuple(runs))


def _read(key: ShardKey, log: WriteLog, first_seq: int) -> WriteRun | None:
    try:
        return log.read_run(first_seq)
    except (CorruptData, FileNotFoundError) as error:
        # The shard itself needs it no more, or it would not have opened; and no other copy says what it was.
        _log.error("events_lost", collection=key.collection_id, shard=key.shard, reason=str(error))
        return None


def newest_batch(log: WriteLog) -> int:
    """The first sequence number of the newest batch of a log; 0 if there is none."""
    return max(log.batches(0), default=0)


def total(steps: Sequence[ShardRun]) -> int:
    """How many writes are in some steps."""
    return sum(len(run) for step in steps for run in step.runs)
