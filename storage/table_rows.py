"""The rows of a shard's table in Arrow: its schema, and how writes and points become rows. Knows no files."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.columns import NO_CHUNK
from storage.records import Records, vector_column
from storage.rows import SegmentRows

_BATCH_ROWS = 8192


def table_schema(dimension: int) -> Any:
    """The table's Arrow schema. ``id`` is the key: non-null and unique."""
    key = {"lance-schema:unenforced-primary-key": "true"}
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False, metadata=key),
            pa.field("seq", pa.uint64(), nullable=False),
            pa.field("updated_ms", pa.int64(), nullable=False),
            pa.field("created_ms", pa.int64(), nullable=False),
            pa.field("source", pa.string()),
            pa.field("chunk_index", pa.int32()),
            pa.field("payload", pa.string(), nullable=False),
            pa.field("text", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False),
        ]
    )


def last_writes(batches: Sequence[Records], schema: Any) -> tuple[Any, Any]:
    """The last write of each id.

    Returns:
        The rows to upsert, of the schema; and those to delete, with their ``id`` alone.
    """
    ids = [point_id for records in batches for point_id in records.ids]
    # Of equal keys a dict keeps the last value.
    last = np.fromiter(dict(zip(ids, range(len(ids)), strict=True)).values(), np.int64)
    deleted = np.concatenate([records.deleted for records in batches])
    rows = last[~deleted[last]]
    seqs = np.concatenate([np.arange(r.first_seq, r.last_seq + 1, dtype=np.uint64) for r in batches])
    vectors = np.concatenate([records.vectors for records in batches])
    vector_rows = np.cumsum(~deleted) - 1
    payloads = pa.array([payload for records in batches for payload in records.payloads], pa.binary())
    columns = {
        "id": pa.array(ids, pa.string()),
        "seq": seqs,
        "updated_ms": np.concatenate([records.updated_ms for records in batches]),
        "created_ms": np.concatenate([records.created_ms for records in batches]),
        "source": pa.array([source for records in batches for source in records.sources], pa.string()),
        "chunk_index": _nullable(np.concatenate([records.chunk_indexes for records in batches])),
        "payload": payloads,
        "text": pa.array([text for records in batches for text in records.texts], pa.string()),
    }
    upserted = pa.table(columns).take(rows)
    upserted = upserted.append_column("vector", vector_column(vectors[vector_rows[rows]])).cast(schema)
    return upserted, pa.table({"id": columns["id"]}).take(last[deleted[last]])


def row_batches(rows: SegmentRows, schema: Any) -> Iterator[Any]:
    """Rows as Arrow batches of the schema, made one after the other."""
    for begin in range(0, len(rows), _BATCH_ROWS):
        part = slice(begin, begin + _BATCH_ROWS)
        yield pa.record_batch(
            {
                "id": pa.array(rows.ids[part], pa.string()),
                "seq": rows.seqs[part],
                "updated_ms": rows.updated_ms[part],
                "created_ms": rows.created_ms[part],
                "source": pa.array(rows.sources[part], pa.string()),
                "chunk_index": _nullable(rows.chunk_indexes[part]),
                "payload": pa.array(rows.payloads[part], pa.binary()),
                "text": pa.array(rows.texts[part], pa.string()),
                "vector": vector_column(rows.vectors[part]),
            }
        ).cast(schema)


def _nullable(chunk_indexes: npt.NDArray[np.int32]) -> Any:
    """Chunk indexes as other programs expect them: null where there is none."""
    return pa.array(chunk_indexes, mask=chunk_indexes == NO_CHUNK)
