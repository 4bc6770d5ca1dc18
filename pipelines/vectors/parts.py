"""Parts of a bulk load: the same input gives the same parts, so that a load that was cut short can go on.

Knows no Ray and no engine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import xxhash

from pipelines.vectors.columns import CheckedRows, Columns, Target, check_rows
from pipelines.vectors.files import RawRows, read_rows
from vectoray.core.model import FloatMatrix, PointBatch


@dataclass(frozen=True, slots=True)
class Layout:
    """How tables become parts.

    Attributes:
        rows: Of a part; the last one of a file has fewer.
    """

    columns: Columns
    target: Target
    rows: int


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of a source.

    Attributes:
        name: Names the part in its job.
        first_row: The number in the source of its first row, from 0.
    """

    name: str
    first_row: int
    rows: CheckedRows

    @property
    def points(self) -> PointBatch:
        """What is to be written."""
        return self.rows.batch

    @property
    def row_numbers(self) -> npt.NDArray[np.int64]:
        """The numbers in the source of the points' rows: int64, shape (len(points),)."""
        return self.first_row + self.rows.kept


def parts_of_file(path: Path, number: int, layout: Layout) -> Iterator[Part]:
    """The parts of a file.

    Args:
        path: The file.
        number: Which one of the job's files it is.
        layout: How it is cut.

    Raises:
        DimensionMismatch, InvalidRequest: The file cannot be read, or its columns cannot be points.
    """
    return parts_of(read_rows(path, layout.columns, layout.rows), number, layout)


def parts_of(raw: Iterator[RawRows], number: int, layout: Layout) -> Iterator[Part]:
    """As `parts_of_file`, of rows that are read already."""
    for rows in raw:
        checked = check_rows(rows.table, layout.columns, layout.target, rows.refused)
        yield Part(f"{number}-{rows.first_row}", rows.first_row, checked)


def job_of_files(files: Sequence[Path], layout: Layout, *, skip_refused: bool) -> str:
    """A name for the load of some files into a collection: the same as long as files and layout are."""
    states = [(str(path), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files]
    described = orjson.dumps([states, layout, skip_refused], option=orjson.OPT_SERIALIZE_DATACLASS)
    return f"files-{xxhash.xxh3_128_hexdigest(described)}"


def content_name(points: bytes) -> str:
    """A name for a part that comes from no file: by what is in it."""
    return xxhash.xxh3_128_hexdigest(points)


def encode_points(points: PointBatch) -> bytes:
    """Points as one Arrow stream, in which `decode_points` finds the vectors without copying them."""
    flat = pa.array(points.vectors.reshape(-1))
    columns = {
        "id": pa.array(points.ids, pa.large_string()),
        "vector": pa.FixedSizeListArray.from_arrays(flat, points.vectors.shape[1]),
        "payload": pa.array(points.payloads, pa.large_binary()),
        "text": pa.array(points.texts, pa.large_string()),
    }
    if points.sources is not None:
        columns["source"] = pa.array(points.sources, pa.large_string())
    batch = pa.record_batch(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue())


def decode_points(data: bytes) -> PointBatch:
    """What `encode_points` made."""
    batch = pa.ipc.open_stream(pa.py_buffer(data)).read_next_batch()
    column = batch.column("vector")
    vectors: FloatMatrix = column.flatten().to_numpy().reshape(batch.num_rows, column.type.list_size)

    def values(name: str) -> list[Any]:
        return list(batch.column(name).to_pylist())

    return PointBatch(
        ids=values("id"),
        vectors=vectors,
        payloads=values("payload"),
        texts=values("text"),
        sources=values("source") if "source" in batch.schema.names else None,
    )
