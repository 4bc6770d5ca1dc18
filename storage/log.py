"""The write log: one immutable, fsynced file for each group commit, named by its first sequence number."""

import mmap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from storage import files
from storage.records import Records, decode, encode
from vectoray.core.errors import CorruptData

_SUFFIX = ".arrow"


def _name(first_seq: int) -> str:
    return f"{first_seq:020d}{_SUFFIX}"


class WriteLog:
    """The files of one shard's log. Appended to by the shard's owner alone; read by anyone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def append(self, records: Records) -> None:
        """Write records durably; when this returns they survive loss of power.

        Raises:
            OSError: Nothing was written.
        """
        files.write_durable(self._directory / _name(records.first_seq), encode(records))

    def read_one(self, first_seq: int) -> Records:
        """The batch that starts with ``first_seq``.

        Raises:
            FileNotFoundError: There is none, or it has been dropped.
            CorruptData: It does not match its checksum.
        """
        with (self._directory / _name(first_seq)).open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        records = decode(memoryview(mapped))
        if records.first_seq != first_seq:
            raise CorruptData("A batch of the write log carries another number than its name.")
        return records

    def read_after(self, seq: int) -> Iterator[Records]:
        """All batches with a row after ``seq``, oldest first; the first may begin before it.

        Raises:
            CorruptData: A batch is damaged, or one between ``seq`` and the newest is missing.
        """
        starts = self._starts()
        needed = [start for start, following in pairwise(starts) if following > seq + 1]
        expected: int | None = None
        for start in [*needed, *starts[-1:]]:
            records = self.read_one(start)
            if expected is None and start > seq + 1:
                raise CorruptData(f"The write log begins at {start}, but {seq + 1} is the next one needed.")
            if expected is not None and start != expected:
                raise CorruptData(f"The write log has nothing between {expected} and {start}.")
            expected = records.last_seq + 1
            if records.last_seq > seq:
                yield records

    def oldest_seq(self) -> int:
        """First sequence number that is still there; 1 when nothing is."""
        return min(self._starts(), default=1)

    def drop_through(self, seq: int) -> None:
        """Remove batches with no row after ``seq``. The newest batch stays: it holds the count."""
        starts = self._starts()
        for start, following in pairwise(starts):
            if following > seq + 1:
                break
            (self._directory / _name(start)).unlink()

    def _starts(self) -> list[int]:
        return sorted(
            int(path.name.removesuffix(_SUFFIX))
            for path in self._directory.iterdir()
            if path.name.endswith(_SUFFIX) and not path.name.startswith(files.TEMPORARY_PREFIX)
        )
