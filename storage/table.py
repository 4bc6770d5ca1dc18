"""The shard's LanceDB table: the open, versioned truth, written behind the log.

Anything that reads Lance reads it: ``lancedb.connect(<shard>/table).open_table("points")``. It holds the live
points as of `PointTable.flushed_seq`; applying the same writes again changes nothing, so a flush that was cut
short is simply repeated.

This version of Lance syncs nothing to the disk by itself (seen with strace), so every change ends with our
own fsync of each new file and of the folders, before anybody relies on it.
"""

import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage import files
from storage.records import Records, vector_column, vector_matrix
from storage.rows import SegmentRows
from vectoray.core.errors import CorruptData

NAME = "points"
_FLUSHED_SEQ = "vectoray.flushed_seq"
# Every change is two versions or three; old ones and small files are tidied up after this many.
_TIDY_VERSIONS = 96
_KEEP_VERSIONS_FOR = timedelta(minutes=10)


def table_schema(dimension: int) -> Any:
    """The table's Arrow schema. ``id`` is the key: non-null and unique."""
    key = {"lance-schema:unenforced-primary-key": "true"}
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False, metadata=key),
            pa.field("seq", pa.uint64(), nullable=False),
            pa.field("updated_ms", pa.int64(), nullable=False),
            pa.field("payload", pa.string(), nullable=False),
            pa.field("text", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False),
        ]
    )


class PointTable:
    """The table of one shard, for its owner."""

    def __init__(self, directory: Path, dimension: int) -> None:
        """Open the table, making it first if it is not there.

        Raises:
            CorruptData: It is there but cannot be read.
        """
        self._directory = directory
        self._path = directory / f"{NAME}.lance"
        self._schema = table_schema(dimension)
        self._dimension = dimension
        self._durable: set[str] = set()
        self.is_durable = True
        if table_exists(directory):
            try:
                self._dataset = lance.dataset(str(self._path))
                self._tidied_version = int(self._dataset.version)
            except (OSError, ValueError, RuntimeError) as error:
                raise CorruptData("The shard's table cannot be read.") from error
        else:
            files.make_dir_durable(directory)
            self._overwrite(self._schema.empty_table())

    @property
    def flushed_seq(self) -> int:
        """The write up to which the table is complete."""
        return int(self._dataset.config().get(_FLUSHED_SEQ, 0))

    def apply(self, batches: Iterable[Records], through: int) -> None:
        """Bring the table to the state after write ``through``, durably. The last write of an id decides.

        Raises:
            OSError: The disk refused; the table holds a part, and applying the same writes again mends it.
        """
        last: dict[str, tuple[Records, int, int]] = {}
        for records in batches:
            vector_rows = np.cumsum(~records.deleted) - 1
            for row, point_id in enumerate(records.ids):
                last[point_id] = (records, row, int(vector_rows[row]))
        upserts = [place for place in last.values() if not place[0].deleted[place[1]]]
        deleted = [point_id for point_id, (records, row, _) in last.items() if records.deleted[row]]
        if upserts:
            merge = self._dataset.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(self._rows(upserts))
        if deleted:
            # A typed expression: ids never become part of a query string.
            self._dataset.delete(pc.field("id").isin(deleted))
        # What it is complete through must not survive a loss of power that the rows do not.
        self._sync()
        self._stamp(through)

    def put(self, rows: SegmentRows) -> None:
        """Upsert rows, durably; what the table is complete through stays as it was.

        Raises:
            OSError: The disk refused; putting the same rows again mends it.
        """
        merge = self._dataset.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(self._points(rows))
        self._sync()

    def complete(self, through: int) -> None:
        """Say that the table is the state after write ``through``."""
        self._stamp(through)

    def rewrite(self, rows: SegmentRows, through: int) -> None:
        """Let the table hold exactly these rows, the state after write ``through``, durably, in new files."""
        self._overwrite(self._points(rows))
        self._stamp(through)

    def count(self) -> int:
        """Rows in the newest version."""
        rows: int = self._dataset.count_rows()
        return rows

    def read_all(self) -> SegmentRows:
        """Every row of the newest version.

        Raises:
            CorruptData: It cannot be read.
        """
        try:
            table = self._dataset.to_table().combine_chunks()
        except (OSError, ValueError, RuntimeError) as error:
            raise CorruptData("The shard's table cannot be read.") from error
        column = (
            table["vector"].chunk(0) if table.num_rows else pa.array([], self._schema.field("vector").type)
        )
        return SegmentRows(
            ids=table["id"].to_pylist(),
            seqs=table["seq"].to_numpy(),
            updated_ms=table["updated_ms"].to_numpy(),
            vectors=vector_matrix(column, self._dimension),
            payloads=[payload.encode() for payload in table["payload"].to_pylist()],
            texts=table["text"].to_pylist(),
        )

    def tidy(self) -> None:
        """Merge small files and forget old versions, if many have piled up."""
        if int(self._dataset.version) - self._tidied_version < _TIDY_VERSIONS:
            return
        self._dataset.optimize.compact_files()
        self._dataset.cleanup_old_versions(older_than=_KEEP_VERSIONS_FOR)
        self._sync()
        self._tidied_version = int(self._dataset.version)

    def _points(self, rows: SegmentRows) -> Any:
        return pa.table(
            {
                "id": list(rows.ids),
                "seq": rows.seqs,
                "updated_ms": rows.updated_ms,
                "payload": [payload.decode() for payload in rows.payloads],
                "text": list(rows.texts),
                "vector": vector_column(rows.vectors),
            },
            schema=self._schema,
        )

    def _rows(self, places: list[tuple[Records, int, int]]) -> Any:
        return pa.table(
            {
                "id": [records.ids[row] for records, row, _ in places],
                "seq": [records.first_seq + row for records, row, _ in places],
                "updated_ms": [int(records.updated_ms[row]) for records, row, _ in places],
                "payload": [records.payloads[row].decode() for records, row, _ in places],
                "text": [records.texts[row] for records, row, _ in places],
                "vector": vector_column(np.stack([records.vectors[at] for records, _, at in places])),
            },
            schema=self._schema,
        )

    def _overwrite(self, rows: Any) -> None:
        self._dataset = lance.write_dataset(
            rows, str(self._path), schema=self._schema, mode="overwrite", enable_stable_row_ids=True
        )
        self._tidied_version = int(self._dataset.version)
        self._sync()
        files.fsync_dir(self._directory)

    def _stamp(self, through: int) -> None:
        self._dataset.update_config({_FLUSHED_SEQ: str(through)})
        self._sync()

    def _sync(self) -> None:
        """Make every file that is not known to be durable so, and the folders' names."""
        # Once an fsync has failed, the next one of the same file may succeed without having written it: only
        # new files help then, see `rewrite`.
        self.is_durable = False
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
        self.is_durable = True


def table_exists(directory: Path) -> bool:
    """Whether a table lies in this folder. One without a version is one whose making was cut short."""
    return any((directory / f"{NAME}.lance" / "_versions").glob("*.manifest"))
