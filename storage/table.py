"""The shard's LanceDB table: the open, versioned truth, written behind the log.

Anything that reads Lance reads it: ``lancedb.connect(<shard>/table).open_table("points")``. Commits are
fsynced. It holds the live points as of `Manifest.flushed_seq`; applying the same writes again changes
nothing, so a flush that was cut short is simply repeated.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage import files
from storage.records import Records, vector_column, vector_matrix
from storage.segment import SegmentRows

NAME = "points"
_FLUSHED_SEQ = "vectoray.flushed_seq"
_DURABLE = {"local_fsync": "true"}


def table_schema(dimension: int) -> Any:
    """The table's Arrow schema. ``id`` is the key: non-null and unique."""
    return pa.schema(
        [
            pa.field(
                "id", pa.string(), nullable=False, metadata={"lance-schema:unenforced-primary-key": "true"}
            ),
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
        """Open the table, making it first if it is not there."""
        self._uri = str(directory / f"{NAME}.lance")
        self._schema = table_schema(dimension)
        self._dimension = dimension
        # A folder without a version is one whose making was cut short.
        if any(Path(self._uri, "_versions").glob("*.manifest")):
            self._dataset = lance.dataset(self._uri, storage_options=_DURABLE)
        else:
            files.make_dir_durable(directory)
            self._dataset = lance.write_dataset(
                self._schema.empty_table(),
                self._uri,
                mode="overwrite",
                storage_options=_DURABLE,
                enable_stable_row_ids=True,
            )
            files.fsync_dir(directory)

    @property
    def flushed_seq(self) -> int:
        """The write up to which the table is complete."""
        return int(self._dataset.config().get(_FLUSHED_SEQ, 0))

    def apply(self, batches: Iterable[Records], through: int) -> None:
        """Bring the table to the state after write ``through``. The last write of an id decides.

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
        self._dataset.update_config({_FLUSHED_SEQ: str(through)})

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

    def count(self) -> int:
        """Rows in the newest version."""
        rows: int = self._dataset.count_rows()
        return rows

    def read_all(self) -> SegmentRows:
        """Every row of the newest version."""
        table = self._dataset.to_table().combine_chunks()
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
