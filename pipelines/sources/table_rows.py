"""The rows of Parquet, Arrow, CSV and JSONL files, one by one. Knows nothing of what their columns mean."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
from pyarrow import ipc, parquet

from vectoray.core.errors import InvalidRequest

Row = Mapping[str, object] | str
"""The row's columns, or a sentence that says why there are none."""

_BATCH_ROWS = 256
_MAX_LINE_BYTES = 64 * 2**20
_FORMATS = "Parquet (.parquet), Arrow (.arrow, .feather), CSV (.csv) and JSON lines (.jsonl, .ndjson)"


def read_rows(path: Path, required: Sequence[str]) -> Iterator[tuple[int, Row]]:
    """A file's rows with their numbers, from 1. Damage ends it with a row that says so.

    Args:
        path: The ending of its name says what it is.
        required: Columns that it must have. JSONL has none of its own: there, each row is asked.

    Raises:
        InvalidRequest: The file cannot be opened, is none of these, or lacks a column.
    """
    try:
        with path.open("rb") as file:
            match path.suffix.lower():
                case ".parquet":
                    yield from _parquet(file, path.name, required)
                case ".arrow" | ".feather":
                    yield from _arrow(file, path.name, required)
                case ".csv":
                    yield from _csv(path, required)
                case ".jsonl" | ".ndjson":
                    yield from _json_lines(file)
                case _:
                    raise InvalidRequest(f"'{path.name}' is no table that is read; these are: {_FORMATS}.")
    except OSError as error:
        raise InvalidRequest(f"The table '{path.name}' cannot be read: {error.strerror}.") from None


def _parquet(file: BinaryIO, name: str, required: Sequence[str]) -> Iterator[tuple[int, Row]]:
    try:
        table = parquet.ParquetFile(file)
    except (pa.ArrowException, OSError):
        raise InvalidRequest(f"'{name}' is not a Parquet file, or is damaged.") from None
    _require(name, table.schema_arrow.names, required)
    yield from _in_batches(table.iter_batches(batch_size=_BATCH_ROWS))


def _arrow(file: BinaryIO, name: str, required: Sequence[str]) -> Iterator[tuple[int, Row]]:
    try:
        try:
            table = ipc.open_file(file)
        except pa.ArrowInvalid:
            file.seek(0)
            stream = ipc.open_stream(file)
            schema, batches = stream.schema, iter(stream)
        else:
            schema = table.schema
            batches = (table.get_batch(at) for at in range(table.num_record_batches))
    except (pa.ArrowException, OSError):
        raise InvalidRequest(f"'{name}' is not an Arrow file, or is damaged.") from None
    _require(name, schema.names, required)
    yield from _in_batches(batches)


def _in_batches(batches: Iterator[Any]) -> Iterator[tuple[int, Row]]:
    number = 0
    try:
        for batch in batches:
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                for row in batch.slice(start, _BATCH_ROWS).to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError, ValueError):
        yield number + 1, f"Row {number + 1}: the file is damaged from here on."


def _csv(path: Path, required: Sequence[str]) -> Iterator[tuple[int, Row]]:
    # A limit of the process; its default is less than many texts.
    csv.field_size_limit(_MAX_LINE_BYTES)
    with path.open(encoding="utf-8-sig", errors="strict", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        number = 0
        try:
            names = next(reader, [])
            _require(path.name, names, required)
            for values in reader:
                if not values:
                    continue
                number += 1
                if len(values) == len(names):
                    yield number, dict(zip(names, values, strict=True))
                else:
                    yield number, f"Row {number}: it has {len(values)} values for {len(names)} columns."
        except (csv.Error, UnicodeDecodeError):
            yield number + 1, f"Row {number + 1}: from here on the file is not valid CSV in UTF-8."


def _json_lines(file: BinaryIO) -> Iterator[tuple[int, Row]]:
    for number in count(1):
        line = file.readline(_MAX_LINE_BYTES + 1)
        if not line:
            return
        if len(line) > _MAX_LINE_BYTES:
            yield (
                number,
                f"Row {number}: it is longer than {_MAX_LINE_BYTES} bytes; nothing after it is read.",
            )
            return
        if not line.strip():
            continue
        try:
            row = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
        except ValueError:
            row = None
        if isinstance(row, dict):
            yield number, row
        else:
            yield number, f"Row {number}: it is not a JSON object."


def _require(name: str, columns: Sequence[str], required: Sequence[str]) -> None:
    missing = [column for column in required if column not in columns]
    if missing:
        shown = ", ".join(f"'{column}'" for column in columns[:20])
        raise InvalidRequest(f"'{name}' has no column '{missing[0]}'; it has: {shown or 'none'}.")
    double = [column for column in required if list(columns).count(column) > 1]
    if double:
        raise InvalidRequest(f"'{name}' has more than one column '{double[0]}'.")
