"""Writes for a table of points, in short: ``records(1, a=1.0, b=None)`` upserts ``a`` and deletes ``b``."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import orjson

from storage.columns import NO_CHUNK
from storage.records import Records, WriteKind
from storage.rows import SegmentRows
from storage.table import PointTable

DIMENSION = 8

State = dict[str, float]


def records(first_seq: int, **values: float | None) -> Records:
    """Consecutive writes: an id and its value, or None to delete it."""
    return writes(first_seq, list(values.items()))


def writes(first_seq: int, values: list[tuple[str, float | None]]) -> Records:
    """As `records`, for ids that come more than once."""
    upserted = [(point_id, value) for point_id, value in values if value is not None]
    vectors = np.array([[value] * DIMENSION for _, value in upserted], np.float32).reshape(-1, DIMENSION)
    return Records(
        first_seq=first_seq,
        ids=[point_id for point_id, _ in values],
        updated_ms=np.full(len(values), 1_700_000_000_000, np.int64),
        kinds=np.array([WriteKind.DELETE if value is None else 0 for _, value in values], np.uint8),
        vectors=vectors,
        payloads=[b"" if value is None else orjson.dumps({"value": value}) for _, value in values],
        texts=[None if value is None else f"text of {point_id}" for point_id, value in values],
        sources=[None if value is None else source_of(point_id) for point_id, value in values],
        chunk_indexes=np.array(
            [NO_CHUNK if value is None else chunk_of(point_id) for point_id, value in values], np.int32
        ),
        created_ms=np.array(
            [0 if value is None else 1_600_000_000_000 + at for at, (_, value) in enumerate(values)], np.int64
        ),
    )


def source_of(point_id: str) -> str | None:
    """The source that the row of an id has."""
    return f"source of {point_id}" if len(point_id) % 2 else None


def chunk_of(point_id: str) -> int:
    """The chunk index that the row of an id has, or `NO_CHUNK`."""
    return len(point_id) if len(point_id) % 3 else NO_CHUNK


def rows_of(state: Mapping[str, float], seq: int) -> SegmentRows:
    """Live points, all of one write."""
    made = writes(seq, list(state.items()))
    return SegmentRows(
        made.ids,
        np.full(len(made), seq, np.uint64),
        made.updated_ms,
        made.vectors,
        made.payloads,
        made.texts,
        made.sources,
        made.chunk_indexes,
        made.created_ms,
    )


def state_of(rows: SegmentRows) -> State:
    """What `records` would have to write; fails if an id is there twice or its columns disagree."""
    assert len(set(rows.ids)) == len(rows.ids)
    state = {point_id: float(vector[0]) for point_id, vector in zip(rows.ids, rows.vectors, strict=True)}
    assert [orjson.loads(payload)["value"] for payload in rows.payloads] == list(state.values())
    assert list(rows.texts) == [f"text of {point_id}" for point_id in rows.ids]
    assert list(rows.sources) == [source_of(point_id) for point_id in rows.ids]
    assert rows.chunk_indexes.tolist() == [chunk_of(point_id) for point_id in rows.ids]
    assert (rows.created_ms >= 1_600_000_000_000).all()
    assert rows.chunk_indexes.dtype == np.int32
    return state


def open_table(shard: Path, epoch: int = 1, **settings: float) -> PointTable:
    """The table of a shard's folder, for writing."""
    return PointTable(shard / "table", DIMENSION, epoch=epoch, **{"keep_versions_s": 600.0, **settings})
