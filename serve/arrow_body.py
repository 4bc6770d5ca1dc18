"""Arrow IPC streams as bodies of inserts: columns in, columns out.

Columns: ``id`` (string), ``vector`` (list or fixed-size list of float16, float32 or float64), and if wanted
``payload`` (JSON in a string or binary, or a struct) and ``text`` (string). Others are ignored.
"""

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import simdjson

from serve.arrow_structs import encode_structs
from serve.json_body import UNREADABLE
from serve.point_columns import RowsOf, encode_object, text_of
from serve.service.points import NewPoints
from vectoray.core.errors import InvalidRequest
from vectoray.core.model import EMPTY_PAYLOAD, FloatMatrix, FloatVector

# Field numbers in Arrow's Message.fbs: header and metadata of a Message, compression of a RecordBatch.
_MESSAGE_HEADER = 2
_MESSAGE_METADATA = 4
_BATCH_COMPRESSION = 3

_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def decode_arrow(body: bytes, model: Any) -> dict[str, NewPoints]:
    """The rows of a stream as ``model.arrow_rows``.

    Memory: a small multiple of the body. Compressed streams and dictionaries, which could be of any size once
    read, are refused.

    Raises:
        InvalidRequest: It is no such stream; a column is missing or of another type; a value is null that may
            not be, or no JSON object. The first bad row is named.
    """
    where: str = model.arrow_rows
    rows: RowsOf = model.readers[where]
    try:
        table = _read(body)
    except (pa.ArrowException, OSError, TypeError, ValueError, struct.error):
        raise InvalidRequest(
            "The body is not a valid Arrow IPC stream: it is cut short or malformed."
        ) from None
    ids = _strings(table, "id")
    if ids is None:
        raise _wrong("id", "is missing")
    if None in ids:
        at = f"{where}[{ids.index(None)}].id"
        raise InvalidRequest(f"{at} is null.", {"at": at})
    payloads, texts = _payloads(table, where, rows)
    given = _strings(table, "text")
    columns = NewPoints(
        ids=[point_id for point_id in ids if point_id is not None],
        vectors=_vectors(table, where),
        payloads=payloads,
        texts=texts if given is None else given,
    )
    return {where: columns}


def _read(body: bytes) -> pa.Table:
    source = pa.BufferReader(body)
    reader = pa.ipc.MessageReader.open_stream(source)
    first = _next_message(reader)
    # Arrow takes any message for a schema, and reads beyond its memory if it is none.
    if first is None or first.type != "schema":
        raise ValueError("no schema")
    schema = pa.ipc.read_schema(first)
    for name in ("id", "vector", "payload", "text"):
        if len(schema.get_all_field_indices(name)) > 1:
            raise _wrong(name, "is there twice")
    for field in schema:
        # A name within that is no UTF-8 is found here, and not where that name is needed.
        _decode_names(field.type)
        if pa.types.is_dictionary(field.type):
            raise _wrong(field.name, "is a dictionary; send plain values")
    batches = []
    end = source.tell()
    while (message := _next_message(reader)) is not None:
        end = source.tell()
        if message.type == "dictionary":
            raise InvalidRequest("The Arrow stream holds dictionaries; send plain values.")
        if message.type != "record batch":
            raise ValueError("neither a batch nor a dictionary")
        if _is_compressed(message):
            raise InvalidRequest("The Arrow stream is compressed; send it without compression.")
        batch = pa.ipc.read_record_batch(message, schema)
        batch.validate(full=True)
        batches.append(batch)
    # Without its mark the end may be missing, whole batches perhaps.
    if body[end:] != _END_OF_STREAM:
        raise ValueError("no end")
    wanted = [name for name in ("id", "vector", "payload", "text") if name in schema.names]
    return pa.Table.from_batches(batches, schema).select(wanted).combine_chunks()


def _decode_names(kind: Any) -> None:
    """Decode the names of all fields within a type.

    Raises:
        UnicodeDecodeError: One is no UTF-8.
    """
    for field in map(kind.field, range(kind.num_fields)):
        _ = field.name
        _decode_names(field.type)


def _next_message(reader: Any) -> Any:
    """The next message; None at the end of the stream."""
    try:
        return reader.read_next_message()
    except StopIteration:
        return None


def _is_compressed(message: Any) -> bool:
    """Whether a record batch's buffers are or may be compressed. Arrow tells only by decompressing them."""
    buffer = memoryview(message.metadata)
    [root] = struct.unpack_from("<I", buffer, 0)
    # The format before the present one named a codec in metadata, if in any place.
    is_old = message.metadata_version != pa.ipc.MetadataVersion.V5
    if is_old and _field(buffer, root, _MESSAGE_METADATA) is not None:
        return True
    header = _field(buffer, root, _MESSAGE_HEADER)
    if header is None:
        raise ValueError("no header")
    [offset] = struct.unpack_from("<I", buffer, header)
    return _field(buffer, header + offset, _BATCH_COMPRESSION) is not None


def _field(buffer: memoryview, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer table lies; None where it is not given."""
    [to_vtable] = struct.unpack_from("<i", buffer, table)
    vtable = table - to_vtable
    [size] = struct.unpack_from("<H", buffer, vtable)
    place = 4 + 2 * number
    if place >= size:
        return None
    [offset] = struct.unpack_from("<H", buffer, vtable + place)
    return table + offset if offset else None


def _strings(table: pa.Table, name: str) -> list[str | None] | None:
    """A column of strings; None if there is none."""
    column = _column(table, name)
    if column is None:
        return None
    if not _is_string(column.type):
        raise _wrong(name, "is no string")
    values: list[str | None] = column.to_pylist()
    return values


def _vectors(table: pa.Table, where: str) -> FloatMatrix | Sequence[FloatVector]:
    column = _column(table, "vector")
    if column is None:
        raise _wrong("vector", "is missing")
    kind = column.type
    fixed = pa.types.is_fixed_size_list(kind)
    if not (fixed or pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not pa.types.is_floating(
        kind.value_type
    ):
        raise _wrong("vector", "is no list of float16, float32 or float64")
    if column.null_count:
        row = column.is_null().index(pa.scalar(value=True)).as_py()
        raise InvalidRequest(f"{where}[{row}].vector is null.", {"at": f"{where}[{row}].vector"})
    values = column.flatten()
    if fixed:
        lengths = np.full(len(column), kind.list_size)
    else:
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    if values.null_count:
        first = values.is_null().index(pa.scalar(value=True)).as_py()
        row = int(np.searchsorted(np.cumsum(lengths), first, side="right"))
        raise InvalidRequest(f"{where}[{row}].vector has a null.", {"at": f"{where}[{row}].vector"})
    # A double beyond float32 becomes infinite here; the service refuses it and names the element.
    with np.errstate(over="ignore"):
        numbers = values.to_numpy(zero_copy_only=False).astype(np.float32)
    if len(lengths) and (lengths == lengths[0]).all():
        matrix: FloatMatrix = numbers.reshape(len(lengths), int(lengths[0]))
        return matrix
    ends = np.cumsum(lengths).tolist()
    return [numbers[start:end] for start, end in pairwise((0, *ends))]


def _payloads(table: pa.Table, where: str, rows: RowsOf) -> tuple[list[bytes], list[str | None]]:
    """The payloads, and the texts that are in them."""
    column = _column(table, "payload")
    if column is None:
        return [EMPTY_PAYLOAD] * table.num_rows, [None] * table.num_rows
    kind = column.type
    if pa.types.is_struct(kind):
        documents = encode_structs(column, where=where)
    elif _is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        documents = column.cast(pa.large_binary()).to_pylist()
    else:
        raise _wrong("payload", "is neither JSON in a string or binary, nor a struct")
    read = [_object(document, f"{where}[{row}].payload", rows) for row, document in enumerate(documents)]
    return [payload for payload, _ in read], [text for _, text in read]


def _object(document: bytes | None, where: str, rows: RowsOf) -> tuple[bytes, str | None]:
    if document is None:
        return EMPTY_PAYLOAD, None
    try:
        return rows.payload_of(simdjson.Parser().parse(document))
    except UNREADABLE:
        pass
    try:
        plain = orjson.loads(document)
    except orjson.JSONDecodeError:
        plain = None
    if not isinstance(plain, dict):
        raise InvalidRequest(f"{where} is no JSON object.", {"at": where})
    return encode_object(plain, where=where), text_of(plain, rows.text)


def _column(table: pa.Table, name: str) -> Any:
    return table.column(name).combine_chunks() if name in table.column_names else None


def _is_string(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _wrong(column: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"The column '{column}' {problem}.", {"at": column})
