"""The shard's LanceDB table: the open, versioned truth, written behind the log.

Anything that reads Lance reads it: ``lancedb.connect(<shard>/table).open_table("points")``. It holds the live
points as of `PointTable.flushed_seq`; applying the same writes again changes nothing, so a flush that was cut
short is simply repeated.

This version of Lance syncs nothing to the disk by itself, whatever its options say (seen with strace). So no
version is committed before every file that it names has had an fsync of ours, and nobody relies on one before
its manifest has: a loss of power costs a manifest at most, never a file that a readable manifest names.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
from lance.fragment import write_fragments
from lance.optimize import Compaction

from storage import files
from storage.records import Records
from storage.rows import SegmentRows
from storage.table_read import is_readable, read_rows
from storage.table_rows import last_writes, row_batches, table_schema
from storage.table_versions import (
    LANCE_ERRORS,
    NAME,
    OWNER_EPOCH,
    completed,
    flushed_seq,
    open_newest,
    owner_epoch,
    panics_as_errors,
    put_aside_unreadable,
    table_exists,
    table_versions,
    version_numbers,
)
from vectoray.core.errors import CorruptData, ShardLocked

# Every change is two versions or three; old ones and small files are tidied up after this many.
_TIDY_VERSIONS = 96
# Files of more rows are left alone, however many there are: rewriting is copying.
_COMPACT_ROWS = 131_072


class PointTable:
    """The table of one shard, for its owner.

    The owner's epoch stands in the table's configuration. A later owner raises it, and from then on each
    change by an earlier one is refused with `ShardLocked`.

    Attributes:
        is_sound: Whether the newest version is what this owner made, durable and as far as known readable.
            If not, only `rewrite` helps: after a failed fsync the next one of the same file may succeed
            without having written it.
    """

    def __init__(self, directory: Path, dimension: int, *, epoch: int, keep_versions_s: float) -> None:
        """Open the table for writing, making it first if it is not there.

        Versions newer than the newest readable one are put aside, into the shard's quarantine.

        Args:
            directory: The folder of the table, in the folder of its shard.
            dimension: Of the vectors.
            epoch: Of this owner: higher than that of any owner before it.
            keep_versions_s: How long a version can still be read after it is no more the newest.

        Raises:
            ShardLocked: A later owner has the table.
            CorruptData: It is there but cannot be read.
        """
        self._directory = directory
        self._path = directory / f"{NAME}.lance"
        self._schema = table_schema(dimension)
        self._dimension = dimension
        self._epoch = epoch
        self._keep_versions = timedelta(seconds=keep_versions_s)
        self._durable: set[str] = set()
        self.is_sound = True
        self._dataset: Any = None
        if table_exists(directory):
            self._dataset = open_newest(directory)
            self._check_epoch()
            if owner_epoch(self._dataset) < epoch:
                self._configure({OWNER_EPOCH: str(epoch)})
            # Those left by others count: an owner that never lives long must tidy up, too.
            self._tidied_version = self._version - len(version_numbers(directory))
        else:
            files.make_dir_durable(directory)
            self._overwrite([])
            files.fsync_dir(directory)
            self._complete(0)
            self._tidied_version = self._version

    @property
    def flushed_seq(self) -> int:
        """The write up to which the table is complete."""
        return flushed_seq(self._dataset)

    def apply(self, batches: Sequence[Records], through: int) -> None:
        """Bring the table to the state after write ``through``, durably. The last write of an id decides.

        Raises:
            ShardLocked: A later owner has the table.
            CorruptData: It cannot be read or is not sound: `rewrite` it.
            OSError: The disk refused; the table may hold a part, and applying the same writes again mends it.
        """
        self._claim()
        self._refuse_if_unsound()
        upserted, deleted = last_writes(batches, self._schema)
        if len(upserted):
            self._merge(lambda merge: merge.when_matched_update_all().when_not_matched_insert_all(), upserted)
        if len(deleted):
            self._merge(lambda merge: merge.when_matched_delete(), deleted)
        self._complete(through)

    def put(self, rows: SegmentRows) -> None:
        """Upsert rows, durably; what the table is complete through stays as it was.

        Raises:
            ShardLocked, CorruptData: As `apply`.
            OSError: The disk refused; putting the same rows again mends it.
        """
        self._claim()
        self._refuse_if_unsound()
        for batch in row_batches(rows, self._schema):
            self._merge(
                lambda merge: merge.when_matched_update_all().when_not_matched_insert_all(),
                pa.Table.from_batches([batch]),
            )

    def complete(self, through: int) -> None:
        """Say that the table is the state after write ``through``.

        Raises:
            ShardLocked, CorruptData, OSError: As `apply`.
        """
        self._claim()
        self._refuse_if_unsound()
        self._complete(through)

    def rewrite(self, rows: SegmentRows, through: int) -> None:
        """Let the table hold exactly these rows, the state after write ``through``, durably, in new files.

        Raises:
            ShardLocked: A later owner has the table.
            OSError: The disk refused; write it anew.
        """
        self._claim()
        self._overwrite(row_batches(rows, self._schema))
        self._complete(through)
        self.is_sound = True

    def read_all(self) -> SegmentRows:
        """Every row of the newest version.

        Raises:
            CorruptData: It cannot be read.
        """
        return read_rows(self._dataset, self._dimension)

    def tidy(self) -> None:
        """Merge small files and forget old versions, if many have piled up.

        Raises:
            ShardLocked: A later owner has the table.
            CorruptData: It cannot be read: `rewrite` it.
            OSError: The disk refused; it can be tried again.
        """
        if self._version - self._tidied_version < _TIDY_VERSIONS:
            return
        self._claim()
        if not self.is_sound:
            return
        self._compact()
        put_aside_unreadable(self._directory, used=self._version)
        self._forget_old_versions()
        self._tidied_version = self._version

    # One change is: claim, write files, fsync them, commit, fsync the manifest.

    def _claim(self) -> None:
        """See that no later owner has the table, and whether another one wrote to it.

        Raises:
            ShardLocked: A later owner has it.
        """
        if self._dataset.latest_version != self._version:
            # Numbers may be given anew now, and so may names that are known to be durable.
            self._durable = set()
            self.is_sound = False
            self._dataset = open_newest(self._directory)
        self._check_epoch()

    def _refuse_if_unsound(self) -> None:
        if not self.is_sound:
            raise CorruptData("The shard's table is in doubt and must be written anew.")

    def _check_epoch(self) -> None:
        epoch = owner_epoch(self._dataset)
        if epoch > self._epoch:
            raise ShardLocked(
                f"The shard's table has been taken over by owner {epoch}; this is owner {self._epoch}.",
                {"owner_epoch": epoch, "epoch": self._epoch},
            )

    def _merge(self, rule: Callable[[Any], Any], rows: Any) -> None:
        builder = rule(self._dataset.merge_insert("id").conflict_retries(0))
        with self._reading(["id"]):
            transaction, changed = builder.execute_uncommitted(rows)
        if any(changed.values()):
            self._commit(transaction)

    def _overwrite(self, batches: Iterable[Any]) -> None:
        transaction = write_fragments(
            pa.RecordBatchReader.from_batches(self._schema, batches),
            str(self._path),
            mode="create" if self._dataset is None else "overwrite",
            return_transaction=True,
        )
        self._commit(transaction)

    def _compact(self) -> None:
        plan = Compaction.plan(self._dataset, {"target_rows_per_fragment": _COMPACT_ROWS, "num_threads": 1})
        if not plan.num_tasks():
            return
        with self._reading(self._schema.names):
            rewritten = [task.execute(self._dataset) for task in plan.tasks]
        self._sync()
        # One version reserves the numbers of the new files, the next one has them.
        with self._committing(versions=2):
            Compaction.commit(self._dataset, rewritten)
        self._complete(self.flushed_seq)

    def _forget_old_versions(self) -> None:
        """Forget the versions before the one that was the newest when the time to keep began."""
        begin = datetime.now(UTC) - self._keep_versions
        first = max(
            (each.version for each in table_versions(self._directory) if each.created <= begin), default=0
        )
        if old := [version for version in version_numbers(self._directory) if version < first]:
            self._dataset.cleanup_old_versions(versions=old)
            self._sync()

    def _complete(self, through: int) -> None:
        """Say that the table is the state after write ``through``."""
        # What it is complete through must not survive a loss of power that the rows do not.
        self._sync()
        self._configure(completed(through, self._version + 1, self._epoch))

    def _configure(self, values: dict[str, str]) -> None:
        with self._committing():
            # Two owners that write the same key conflict: Lance refuses the second.
            self._dataset.update_config(values)
        self._sync()

    def _commit(self, transaction: Any) -> None:
        # A readable manifest must not survive a loss of power that the files it names do not.
        self._sync()
        with self._committing():
            base = str(self._path) if self._dataset is None else self._dataset
            self._dataset = lance.LanceDataset.commit(base, transaction, enable_stable_row_ids=True)

    @contextmanager
    def _committing(self, versions: int = 1) -> Iterator[None]:
        """Around a commit: see whether it came about, and came about alone.

        Args:
            versions: It makes.

        Raises:
            ShardLocked: A later owner has the table.
            CorruptData: An earlier owner wrote to it meanwhile.
        """
        expected = versions if self._dataset is None else self._version + versions
        try:
            with panics_as_errors():
                yield
        except LANCE_ERRORS:
            if self._dataset is not None:
                self._claim()
            raise
        if self._version != expected:
            self.is_sound = False
            self._check_epoch()
            raise CorruptData("The shard's table was changed by another owner.")

    @contextmanager
    def _reading(self, columns: Sequence[str]) -> Iterator[None]:
        """Around what reads the table and writes new files: tell damage from a full disk.

        Raises:
            CorruptData: The table cannot be read.
        """
        try:
            with panics_as_errors():
                yield
        except LANCE_ERRORS as error:
            self.is_sound = is_readable(self._dataset, columns)
            if not self.is_sound:
                raise CorruptData("The shard's table cannot be read.") from error
            raise

    @property
    def _version(self) -> int:
        return int(self._dataset.version)

    def _sync(self) -> None:
        """Make every file that is not known to be durable so, and the folders' names."""
        sound, self.is_sound = self.is_sound, False
        found = set()
        for folder, inner, names in os.walk(self._path):
            paths = {os.path.join(folder, name) for name in names}  # noqa: PTH118  (many, and often)
            for path in paths - self._durable:
                files.fsync_file(Path(path))
            paths |= {os.path.join(folder, name) for name in inner}  # noqa: PTH118
            if not paths <= self._durable:
                files.fsync_dir(Path(folder))
            found |= paths
        self._durable = found
        self.is_sound = sound
