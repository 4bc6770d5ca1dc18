"""The write log: one immutable, fsynced file for each group commit, named by its first sequence number.

Rows of bulk loads are in no batch. A mark in their place says so, for as long as they are nowhere but in
segments: whoever replays the log instead of reading the segments must not pass over them.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from storage import files
from storage.records import Records, WriteRun, decode, decode_run, encode
from vectoray.core.errors import CorruptData

_NAME = re.compile(r"(\d{20})\.arrow")
_MARK = re.compile(r"(\d{20})\.adopted")


def _name(first_seq: int) -> str:
    return f"{first_seq:020d}.arrow"


class WriteLog:
    """The files of one shard's log. Appended to by the shard's owner alone; read by anyone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def exists(self) -> bool:
        """Whether there is a folder for it."""
        return self._directory.is_dir()

    def append(self, records: Records) -> None:
        """Write records durably; when this returns they survive loss of power.

        Raises:
            OSError: Nothing was written.
        """
        files.write_durable(self._directory / _name(records.first_seq), encode(records))

    def mark_adopted(self, first_seq: int) -> None:
        """Note durably that the writes from ``first_seq`` on are in adopted segments. Once is enough.

        Raises:
            OSError: Nothing was written.
        """
        mark = self._mark(first_seq)
        if not mark.exists():
            files.write_durable(mark, b"")

    def read_one(self, first_seq: int) -> Records:
        """The batch that starts with ``first_seq``.

        Raises:
            FileNotFoundError: There is none, or it has been dropped.
            CorruptData: It does not match its checksum.
        """
        # Read, not mapped: a mapping would hold a file descriptor for as long as the records live.
        records = decode(memoryview((self._directory / _name(first_seq)).read_bytes()))
        if records.first_seq != first_seq:
            raise CorruptData("A batch of the write log carries another number than its name.")
        return records

    def read_after(self, seq: int) -> Iterator[Records]:
        """All batches after ``seq``, which is the end of a batch, oldest first.

        Raises:
            CorruptData: A batch is damaged or missing, or what follows the newest one is in no batch.
        """
        expected = seq + 1
        for start in self._starts():
            if start <= seq:
                continue
            if start != expected:
                raise CorruptData(f"The write log has nothing between {expected} and {start}.")
            records = self.read_one(start)
            yield records
            expected = records.last_seq + 1
        if self._mark(expected).exists():
            raise CorruptData(f"The rows from write {expected} on are in segments alone.")

    def batches(self, after: int) -> list[int]:
        """The first sequence numbers of the batches after ``after``, which is the end of a batch."""
        return [start for start in self._starts() if start > after]

    def read_run(self, first_seq: int) -> WriteRun:
        """What the batch that starts with ``first_seq`` did; errors as of `read_one`."""
        return decode_run(memoryview((self._directory / _name(first_seq)).read_bytes()))

    def end_of_batch(self, after: int, at_most: int, default: int) -> int:
        """The last end of a batch up to ``at_most``, or else the first one after ``after``.

        Args:
            after: An end of a batch.
            at_most: A later sequence number.
            default: The end of the newest batch, whose own length its name does not tell.
        """
        ends = [start - 1 for start in self._starts() if start - 1 > after]
        return max((end for end in ends if end <= at_most), default=min(ends, default=default))

    def oldest_seq(self) -> int:
        """First sequence number that is still there; 1 when nothing is."""
        return min(self._starts(), default=1)

    def drop_through(self, seq: int) -> None:
        """Remove batches and marks with no row after ``seq``. The newest batch stays: it holds the count."""
        for mark in self._marks():
            if int(mark.stem) <= seq:
                mark.unlink()
        starts = self._starts()
        for start, following in pairwise(starts):
            if following > seq + 1:
                break
            (self._directory / _name(start)).unlink()

    def files(self, after: int) -> list[Path]:
        """Every mark, the batches after write ``after``, and the newest batch: it holds the count."""
        starts = self._starts()
        kept = [start for start in starts if start > after or start == starts[-1]]
        return [*(self._directory / _name(start) for start in kept), *self._marks()]

    def _mark(self, first_seq: int) -> Path:
        return self._directory / f"{first_seq:020d}.adopted"

    def _marks(self) -> list[Path]:
        return sorted(path for path in self._directory.iterdir() if _MARK.fullmatch(path.name))

    def _starts(self) -> list[int]:
        matches = (_NAME.fullmatch(path.name) for path in self._directory.iterdir())
        return sorted(int(match[1]) for match in matches if match)
