"""A run of writes in columns, and its Arrow form on disk. Knows no files."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from vectoray.core.errors import CorruptData
from vectoray.core.model import FloatMatrix

_TRAILER = b"VYLG"
_FORMAT = "3"


class WriteKind(IntEnum):
    """What a row of the log did to its id. Stored as these numbers."""

    UPSERT = 0
    """Wrote it, whether or not it was there."""

    INSERT = 1
    """Wrote it on the condition that it was not there."""

    UPDATE = 2
    """Wrote it on the condition that it was there."""

    DELETE = 3
    """Removed it."""


@dataclass(frozen=True, slots=True)
class WriteRun:
    """Consecutive writes of a shard without what they wrote: enough to tell others that they happened.

    Attributes:
        first_seq: Sequence number of row 0; the others follow without gaps.
        kinds: uint8, shape (n,): a `WriteKind` each.
        updated_ms: int64, shape (n,). Unix time of the write in milliseconds.
    """

    first_seq: int
    ids: Sequence[str]
    kinds: npt.NDArray[np.uint8]
    updated_ms: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def last_seq(self) -> int:
        """Sequence number of the last row."""
        return self.first_seq + len(self.ids) - 1


@dataclass(frozen=True, slots=True)
class Records:
    """Consecutive writes of a shard: an upsert or a delete each.

    Attributes:
        first_seq: Sequence number of row 0; the others follow without gaps.
        updated_ms: int64, shape (n,). Unix time of the write in milliseconds.
        kinds: uint8, shape (n,): a `WriteKind` each. Rows that delete have no vector, payload or text.
        vectors: float32, shape (upserts, dimension): one row for each row that is not deleted, in order.
        chunk_indexes: int32, shape (n,), as `storage.columns.chunk_column`.
        created_ms: int64, shape (n,). Unix time of the write that made the id in milliseconds; 0 for a
            delete. Decided once, before it is logged: whoever replays the write takes it as it is.
    """

    first_seq: int
    ids: Sequence[str]
    updated_ms: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.uint8]
    vectors: FloatMatrix
    payloads: Sequence[bytes]
    texts: Sequence[str | None]
    sources: Sequence[str | None]
    chunk_indexes: npt.NDArray[np.int32]
    created_ms: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def last_seq(self) -> int:
        """Sequence number of the last row."""
        return self.first_seq + len(self.ids) - 1

    @property
    def deleted(self) -> npt.NDArray[np.bool_]:
        """Which rows delete their id: bool, shape (n,)."""
        return self.kinds == WriteKind.DELETE

    @property
    def run(self) -> WriteRun:
        """These writes without what they wrote."""
        return WriteRun(self.first_seq, self.ids, self.kinds, self.updated_ms)


def hash_id(point_id: str) -> int:
    """XXH3-64 of an id. It decides the point's shard and its place in an id index: never change it."""
    return xxhash.xxh3_64_intdigest(point_id.encode())


def hash_ids(ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    """`hash_id` of each id: uint64, shape (n,)."""
    return np.fromiter((xxhash.xxh3_64_intdigest(point_id.encode()) for point_id in ids), np.uint64, len(ids))


def vector_column(vectors: FloatMatrix) -> Any:
    """A float32 matrix, shape (n, dimension), as an Arrow column of fixed-size lists, without copying."""
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def vector_matrix(column: Any, dimension: int) -> FloatMatrix:
    """A fixed-size list column as a float32 matrix, shape (n, dimension), without copying."""
    flat = column.flatten().to_numpy(zero_copy_only=True)
    matrix: FloatMatrix = flat.reshape(-1, dimension)
    return matrix


def encode(records: Records) -> bytes:
    """Records as an Arrow IPC stream, followed by a magic and the XXH3-64 of the stream."""
    upserted = ~records.deleted
    lengths = np.where(upserted, records.vectors.shape[1], 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    metadata = {
        "format": _FORMAT,
        "first_seq": str(records.first_seq),
        "dimension": str(records.vectors.shape[1]),
    }
    batch = pa.record_batch(
        {
            "id": pa.array(records.ids, pa.large_string()),
            "updated_ms": pa.array(records.updated_ms),
            "kind": pa.array(records.kinds),
            "vector": pa.LargeListArray.from_arrays(
                pa.array(offsets), pa.array(np.ascontiguousarray(records.vectors).reshape(-1))
            ),
            "payload": pa.array(records.payloads, pa.large_binary()),
            "text": pa.array(records.texts, pa.large_string()),
            "source": pa.array(records.sources, pa.large_string()),
            "chunk_index": pa.array(records.chunk_indexes),
            "created_ms": pa.array(records.created_ms),
        }
    ).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    stream = sink.getvalue().to_pybytes()
    return stream + _TRAILER + xxhash.xxh3_64_digest(stream)


def decode(data: memoryview) -> Records:
    """What `encode` made.

    Args:
        data: The whole file; the vectors stay a view of it.

    Raises:
        CorruptData: The bytes do not match their checksum, or are of another format.
    """
    batch, metadata = _read(data)
    dimension = int(metadata["dimension"])
    vectors = batch["vector"].values.to_numpy(zero_copy_only=True).reshape(-1, dimension)
    return Records(
        first_seq=int(metadata["first_seq"]),
        ids=batch["id"].to_pylist(),
        updated_ms=batch["updated_ms"].to_numpy(),
        kinds=batch["kind"].to_numpy(),
        vectors=vectors,
        payloads=batch["payload"].to_pylist(),
        texts=batch["text"].to_pylist(),
        sources=batch["source"].to_pylist(),
        chunk_indexes=batch["chunk_index"].to_numpy(),
        created_ms=batch["created_ms"].to_numpy(),
    )


def decode_run(data: memoryview) -> WriteRun:
    """As `decode`, without looking at what was written."""
    batch, metadata = _read(data)
    return WriteRun(
        first_seq=int(metadata["first_seq"]),
        ids=batch["id"].to_pylist(),
        kinds=batch["kind"].to_numpy(),
        updated_ms=batch["updated_ms"].to_numpy(),
    )


def _read(data: memoryview) -> tuple[Any, dict[str, str]]:
    stream, trailer = data[:-12], bytes(data[-12:])
    if len(data) <= len(_TRAILER) + 8 or trailer != _TRAILER + xxhash.xxh3_64_digest(stream):
        raise CorruptData("A batch of the write log does not match its checksum.")
    with pa.ipc.open_stream(pa.py_buffer(stream)) as reader:
        batch = reader.read_next_batch()
    metadata = {key.decode(): value.decode() for key, value in batch.schema.metadata.items()}
    if metadata.get("format") != _FORMAT:
        raise CorruptData("A batch of the write log has a format that this version does not read.")
    return batch, metadata
