"""Files of ready vectors as tables of so many rows, one after the other. Checks no rows.

Parquet, Arrow (IPC file or stream, Feather), CSV, JSON lines, and pairs of NumPy files.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pipelines.vectors.columns import Columns
from vectoray.core.errors import InvalidRequest

_CSV_BLOCK_BYTES = 4 * 2**20
_IDS_SUFFIX = ".ids.npy"


@dataclass(frozen=True, slots=True)
class RawRows:
    """Some rows of a file.

    Attributes:
        first_row: The number of the first, from 0; the others follow.
        table: A `pyarrow.Table`.
        refused: Rows that could not be read, by their position in the table, and why; all is null in them.
    """

    first_row: int
    table: Any
    refused: Mapping[int, str] = field(default_factory=dict)


def vector_files(paths: "list[Path]") -> list[Path]:
    """The files of ready vectors among files and folders, in order; those in a folder by name.

    Raises:
        InvalidRequest: A path is not there, a file is of another format, or a folder holds none.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [one for one in sorted(path.rglob("*")) if one.is_file() and _reader_of(one) is not None]
            if not inside:
                raise InvalidRequest(f"The folder '{path}' holds no file of vectors: {_FORMATS}.")
            found += inside
        elif not path.is_file():
            raise InvalidRequest(f"There is no file or folder '{path}'.")
        elif _reader_of(path) is None:
            raise InvalidRequest(f"'{path}' is no file of vectors: {_FORMATS}.")
        else:
            found.append(path)
    return [path.resolve() for path in found]


def read_rows(path: Path, columns: Columns, rows: int) -> Iterator[RawRows]:
    """All rows of a file, ``rows`` at a time; only the last time there are fewer.

    Raises:
        InvalidRequest: The file cannot be read as what its name says it is.
    """
    reader = _reader_of(path)
    if reader is None:
        raise InvalidRequest(f"It is no file of vectors: {_FORMATS}.")
    try:
        yield from reader(path, columns, rows)
    except (pa.ArrowException, ValueError, EOFError) as error:
        # Arrow's own words name the row and the column, and often go on for lines.
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InvalidRequest(f"It cannot be read: {reason}.") from error
    except OSError as error:
        raise InvalidRequest(f"It cannot be read: {error.strerror or 'it is damaged'}.") from error


def _parquet(path: Path, _: Columns, rows: int) -> Iterator[RawRows]:
    with pa.parquet.ParquetFile(path, memory_map=True) as file:
        yield from _regrouped(file.iter_batches(batch_size=rows), file.schema_arrow, rows)


def _arrow(path: Path, _: Columns, rows: int) -> Iterator[RawRows]:
    with pa.memory_map(str(path)) as source:
        try:
            reader = pa.ipc.open_file(source)
        except pa.ArrowInvalid:
            source.seek(0)
            stream = pa.ipc.open_stream(source)
            yield from _regrouped(iter(stream), stream.schema, rows)
            return
        batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        yield from _regrouped(batches, reader.schema, rows)


def _csv(path: Path, columns: Columns, rows: int) -> Iterator[RawRows]:
    read = pa.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES)
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    with pa.csv.open_csv(path, read_options=read, parse_options=parse) as first:
        names = first.schema.names
    # Guessed from the first rows, ids would lose their zeros in front, and numbers their decimals.
    texts = (columns.id, columns.vector, columns.payload, columns.text, columns.source)
    kinds: dict[str, Any] = dict.fromkeys(texts, pa.string())
    kinds |= dict.fromkeys(columns.dimension_columns(names), pa.float32())
    convert = pa.csv.ConvertOptions(column_types=kinds)
    with pa.csv.open_csv(path, read_options=read, parse_options=parse, convert_options=convert) as reader:
        for raw in _regrouped(iter(reader), reader.schema, rows):
            yield RawRows(raw.first_row, _without_empty(raw.table, columns))


def _without_empty(table: Any, columns: Columns) -> Any:
    """In CSV nothing and an empty string look alike: of what a point may go without, it is nothing."""
    for name in (columns.payload, columns.text, columns.source):
        if name in table.column_names:
            column = table.column(name)
            filled = pa.compute.if_else(pa.compute.equal(column, ""), None, column)
            table = table.set_column(table.column_names.index(name), name, filled)
    return table


def _jsonl(path: Path, columns: Columns, rows: int) -> Iterator[RawRows]:
    with path.open("rb") as file:
        first = 0
        while lines := _lines(file, rows):
            yield _from_lines(lines, first, columns)
            first += len(lines)


def _lines(file: BinaryIO, count: int) -> list[bytes]:
    """The next lines that are not empty."""
    lines: list[bytes] = []
    for line in file:
        if line := line.strip():
            lines.append(line)
            if len(lines) == count:
                break
    return lines


def _from_lines(lines: list[bytes], first: int, columns: Columns) -> RawRows:
    """Each line by itself, so that a payload has just the fields that its own line has."""
    refused: dict[int, str] = {}
    values: dict[str, list[Any]] = {name: [] for name in (columns.id, columns.vector)}
    values |= {name: [] for name in (columns.payload, columns.text, columns.source)}
    for row, line in enumerate(lines):
        try:
            fields = orjson.loads(line)
            columns_of_row = _columns_of(fields, columns)
        except (ValueError, TypeError, AttributeError) as error:
            is_json = not isinstance(error, orjson.JSONDecodeError)
            refused[row] = str(error) if is_json and str(error) else "The line is no JSON object."
            columns_of_row = dict.fromkeys(values)
        for name, column in values.items():
            column.append(columns_of_row[name])
    vectors = pa.array(values.pop(columns.vector), pa.large_binary())
    arrays = {name: pa.array(column, pa.large_string()) for name, column in values.items()}
    return RawRows(first, pa.table({**arrays, columns.vector: vectors.cast(pa.large_string())}), refused)


def _columns_of(fields: Any, columns: Columns) -> dict[str, Any]:
    """The columns of one line; the vector and the payload as JSON.

    Raises:
        TypeError: The line is no object, or a field holds what it cannot.
    """
    if not isinstance(fields, dict):
        raise TypeError("The line is no JSON object.")
    point_id = fields.pop(columns.id, None)
    if isinstance(point_id, bool) or not isinstance(point_id, str | int | None):
        raise TypeError("Its id is neither a string nor an integer.")
    vector = fields.pop(columns.vector, None)
    texts = {name: fields.pop(name, None) for name in (columns.text, columns.source)}
    for name, text in texts.items():
        if not isinstance(text, str | None):
            raise TypeError(f"Its '{name}' is no string.")
    payload = fields.pop(columns.payload, None)
    if not isinstance(payload, dict | None):
        raise TypeError("Its payload is no JSON object.")
    return {
        columns.id: None if point_id is None else str(point_id),
        columns.vector: None if vector is None else orjson.dumps(vector),
        columns.payload: orjson.dumps({**fields, **(payload or {})}).decode(),
        **texts,
    }


def _numpy(path: Path, columns: Columns, rows: int) -> Iterator[RawRows]:
    ids_path = path.with_name(path.name.removesuffix(".npy") + _IDS_SUFFIX)
    if not ids_path.is_file():
        raise InvalidRequest(f"Beside it there must be a file '{ids_path.name}' with the ids.")
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    ids = np.load(ids_path, mmap_mode="r", allow_pickle=False)
    yield from array_rows(ids, vectors, columns, rows)


def array_rows(ids: Any, vectors: Any, columns: Columns, rows: int) -> Iterator[RawRows]:
    """The rows of two arrays, as `read_rows`.

    Args:
        ids: Strings or integers, shape (n,).
        vectors: Numbers, shape (n, dimension).
        columns: How to call them.
        rows: How many at a time.

    Raises:
        InvalidRequest: The arrays do not belong together, or hold something else.
    """
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise InvalidRequest("The vectors must be numbers in an array of shape (rows, dimension).")
    if ids.shape != vectors.shape[:1] or ids.dtype.kind not in "iuU":
        raise InvalidRequest(f"The ids must be {len(vectors)} strings or integers, one for each vector.")
    for start in range(0, len(ids), rows):
        part = np.ascontiguousarray(vectors[start : start + rows])
        if part.dtype.kind != "f" or part.dtype.itemsize not in {4, 8}:
            part = part.astype(np.float32)
        column = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), vectors.shape[1])
        names = pa.array(ids[start : start + rows].tolist())
        yield RawRows(start, pa.table({columns.id: names, columns.vector: column}))


def _regrouped(batches: Iterator[Any], schema: Any, rows: int) -> Iterator[RawRows]:
    """Record batches of any size as tables of ``rows`` rows."""
    waiting, waiting_rows, first = [], 0, 0
    for batch in batches:
        waiting.append(batch)
        waiting_rows += batch.num_rows
        if waiting_rows < rows:
            continue
        table = pa.Table.from_batches(waiting, schema)
        start = 0
        while waiting_rows - start >= rows:
            yield RawRows(first, table.slice(start, rows))
            start += rows
            first += rows
        waiting, waiting_rows = table.slice(start).to_batches(), waiting_rows - start
    if waiting_rows or first == 0:
        yield RawRows(first, pa.Table.from_batches(waiting, schema))


_Reader = Callable[[Path, Columns, int], Iterator[RawRows]]
_READERS: dict[str, _Reader] = {
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".feather": _arrow,
    ".ipc": _arrow,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".npy": _numpy,
}
_FORMATS = "Parquet, Arrow, Feather, CSV, JSONL and NumPy files are read, by the ending of their name"


def _reader_of(path: Path) -> _Reader | None:
    name = path.name.lower()
    return None if name.endswith(_IDS_SUFFIX) else _READERS.get(Path(name).suffix)
