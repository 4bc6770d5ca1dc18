"""Reads a shard's table without changing anything: all of its points, or a past version through a filter."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from storage.columns import NO_CHUNK
from storage.filters import row_test
from storage.records import vector_matrix
from storage.rows import SegmentRows
from storage.table_versions import (
    LANCE_ERRORS,
    find_version,
    flushed_seq,
    open_version,
    owner_epoch,
    panics_as_errors,
    readable_versions,
    table_exists,
)
from vectoray.core.errors import CorruptData, InvalidRequest
from vectoray.core.filters import Filter

# Of wide vectors this is some megabytes; more at a time is not faster.
_BATCH_ROWS = 2048
_READ_AHEAD_BYTES = 32 * 2**20


def read_version(
    directory: Path,
    at: int | datetime,
    *,
    columns: Sequence[str] | None = None,
    condition: Filter | None = None,
    limit: int | None = None,
) -> Any:
    """Points as they were, as an Arrow table, in no particular order.

    Besides the answer itself this takes little memory, whatever the size of the table.

    Args:
        directory: The folder of the table.
        at: A version of `table_versions`, or a time: then the one that was the newest.
        columns: Which columns; None: all.
        condition: Only points that match.
        limit: Rows at most; None: all.

    Raises:
        VersionNotFound: There is no such version, or no more.
        InvalidRequest: A column that is not there, a limit below zero, or a time without a zone.
        CorruptData: Its files cannot be read.
    """
    if isinstance(at, datetime) and at.utcoffset() is None:
        raise InvalidRequest("The time of a version has no time zone.", {"at": at.isoformat()})
    if limit is not None and limit < 0:
        raise InvalidRequest("A limit below zero.", {"limit": limit})
    version = find_version(directory, at).version
    try:
        dataset = open_version(directory, version)
        wanted = list(dataset.schema.names if columns is None else columns)
        if unknown := sorted(set(wanted) - set(dataset.schema.names)):
            raise InvalidRequest(f"The table has no column '{unknown[0]}'.", {"columns": unknown})
        schema = pa.schema([dataset.schema.field(name) for name in wanted])
        with panics_as_errors():
            batches = [batch.cast(schema) for batch in _matching(dataset, wanted, condition, limit)]
        return pa.Table.from_batches(batches, schema=schema)
    except (CorruptData, *LANCE_ERRORS) as error:
        # It may have been removed meanwhile; then this says so.
        find_version(directory, version)
        raise CorruptData(f"Version {version} of the shard's table cannot be read.") from error


def read_live_points(directory: Path, dimension: int) -> tuple[int, int, SegmentRows | None]:
    """Of the newest version that can be read to the end, the last write, the owner's epoch, and the points.

    0, 0 and None if there is no table. An older version that is complete through an earlier write is no loss
    as long as the log goes on from there, which is for the caller to see.

    Raises:
        CorruptData: No version can be read.
    """
    if not table_exists(directory):
        return 0, 0, None
    failure: CorruptData | None = None
    for dataset in readable_versions(directory):
        try:
            return flushed_seq(dataset), owner_epoch(dataset), read_rows(dataset, dimension)
        except CorruptData as error:
            failure = error
    raise CorruptData("No version of the shard's table can be read.") from failure


def read_rows(dataset: Any, dimension: int) -> SegmentRows:
    """Every row of a version.

    Raises:
        CorruptData: It cannot be read, or is no table of such points.
    """
    ids: list[str] = []
    payloads: list[bytes] = []
    texts: list[str | None] = []
    sources: list[str | None] = []
    at = 0
    try:
        with panics_as_errors():
            count = dataset.count_rows()
            seqs, chunk_indexes = np.empty(count, np.uint64), np.empty(count, np.int32)
            updated_ms, created_ms = np.empty(count, np.int64), np.empty(count, np.int64)
            vectors = np.empty((count, dimension), np.float32)
            for batch in dataset.to_batches(batch_size=_BATCH_ROWS, io_buffer_size=_READ_AHEAD_BYTES):
                part = slice(at, at + batch.num_rows)
                seqs[part] = batch["seq"].to_numpy()
                updated_ms[part] = batch["updated_ms"].to_numpy()
                created_ms[part] = batch["created_ms"].to_numpy()
                chunk_indexes[part] = batch["chunk_index"].fill_null(NO_CHUNK).to_numpy()
                vectors[part] = vector_matrix(batch["vector"], dimension)
                ids += batch["id"].to_pylist()
                payloads += batch["payload"].cast(pa.binary()).to_pylist()
                texts += batch["text"].to_pylist()
                sources += batch["source"].to_pylist()
                at += batch.num_rows
    except (KeyError, *LANCE_ERRORS) as error:
        raise CorruptData("The shard's table cannot be read.") from error
    if at != count:
        raise CorruptData("The shard's table holds another number of rows than it says.")
    return SegmentRows(ids, seqs, updated_ms, vectors, payloads, texts, sources, chunk_indexes, created_ms)


def is_readable(dataset: Any, columns: Sequence[str]) -> bool:
    """Whether these columns of a version can be read to the end."""
    try:
        with panics_as_errors():
            for _ in dataset.to_batches(columns=list(columns), io_buffer_size=_READ_AHEAD_BYTES):
                pass
    except LANCE_ERRORS:
        return False
    return True


def _matching(dataset: Any, columns: list[str], condition: Filter | None, limit: int | None) -> Iterator[Any]:
    """Batches of the rows that meet a condition, one read at a time."""
    tested = [] if condition is None else ["payload", "source"]
    read = [*columns, *(name for name in tested if name not in columns)]
    test = None if condition is None else row_test(condition)
    missing = limit
    for batch in dataset.to_batches(
        columns=read,
        limit=limit if condition is None else None,
        batch_size=_BATCH_ROWS,
        io_buffer_size=_READ_AHEAD_BYTES,
    ):
        found = batch
        if test is not None:
            payloads = batch["payload"].cast(pa.binary()).to_pylist()
            meets = map(test, payloads, batch["source"].to_pylist())
            found = batch.filter(pa.array(list(meets), pa.bool_()))
        if missing is not None:
            found = found.slice(0, missing)
            missing -= found.num_rows
        yield found.select(columns)
        if missing == 0:
            return
