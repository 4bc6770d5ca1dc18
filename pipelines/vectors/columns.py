"""Which columns of a table hold what, and their rows as points. Knows no files and no Ray.

A row that cannot be a point is refused with a reason; a table whose columns cannot be points, as a whole.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from vectoray.core.errors import DimensionMismatch, InvalidRequest, VectorayError
from vectoray.core.model import EMPTY_PAYLOAD, FloatMatrix, Metric, PointBatch
from vectoray.core.vectors import check_id, check_source

_NO_VECTOR = "It has no vector."
_NOT_FINITE = "Its vector has a value that is no finite number of float32."
_ALL_ZEROS = "Its vector is all zeros, which has no direction to compare under the cosine metric."


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of columns. Those that are named nowhere become fields of the payload.

    Attributes:
        id: Strings or integers.
        vector: Lists of numbers, or JSON arrays as strings. If there is no such column: what the columns of
            numbers begin with that hold one dimension each, ``vector_0``, ``vector_1`` and so on.
        payload: JSON objects as strings, or structs. May be missing.
        text: What full-text search sees. May be missing.
        source: The document that a point came from. May be missing.
    """

    id: str = "id"
    vector: str = "vector"
    payload: str = "payload"
    text: str = "text"
    source: str = "source"

    def dimension_columns(self, names: Sequence[str]) -> list[str]:
        """The columns that hold one dimension each, in order; none if there is one column of vectors."""
        if self.vector in names:
            return []
        pattern = re.compile(re.escape(self.vector) + r"_(\d+)")
        numbered = [(int(match[1]), name) for name in names if (match := pattern.fullmatch(name))]
        return [name for _, name in sorted(numbered)]

    def payload_columns(self, names: Sequence[str]) -> list[str]:
        """The columns that become fields of the payload."""
        taken = {self.id, self.vector, self.payload, self.text, self.source, *self.dimension_columns(names)}
        return [name for name in names if name not in taken]


@dataclass(frozen=True, slots=True)
class Target:
    """What vectors must be to go into a collection."""

    dimension: int
    metric: Metric


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """The rows of a table.

    Attributes:
        batch: Those that are points, in order.
        kept: int64, shape (len(batch),). Their positions in the table.
        refused: Of the others, by position, why.
    """

    batch: PointBatch
    kept: npt.NDArray[np.int64]
    refused: Mapping[int, str]


def check_rows(
    table: Any, columns: Columns, target: Target, refused: Mapping[int, str] | None = None
) -> CheckedRows:
    """The rows of a table as points.

    Args:
        table: A `pyarrow.Table`.
        columns: Which column holds what.
        target: What the vectors must be.
        refused: Rows that are refused already, and why.

    Raises:
        DimensionMismatch, InvalidRequest: A column is missing, or holds what it cannot.
    """
    reasons = dict(refused or {})
    ids = _ids(table, columns.id)
    for row, point_id in enumerate(ids):
        _note(reasons, row, _id_reason(point_id))
    rows, vectors = _vectors(table, columns, target, reasons)
    payloads = _payloads(table, columns, reasons)
    texts = _strings(table, columns.text)
    sources = _strings(table, columns.source)
    for row, source in enumerate(sources or ()):
        if source is not None:
            _note(reasons, row, _source_reason(source))
    if reasons:
        good = np.fromiter((row not in reasons for row in rows.tolist()), bool, len(rows))
        rows, vectors = rows[good], vectors[good]
    at = rows.tolist()
    whole = len(at) == table.num_rows
    return CheckedRows(
        PointBatch(
            ids=ids if whole else [ids[row] for row in at],
            vectors=np.ascontiguousarray(vectors),
            payloads=payloads if whole else [payloads[row] for row in at],
            texts=[None] * len(at) if texts is None else [texts[row] for row in at],
            sources=None if sources is None else [sources[row] for row in at],
        ),
        rows,
        dict(sorted(reasons.items())),
    )


def _note(reasons: dict[int, str], row: int, reason: str | None) -> None:
    """Keep the first reason of a row."""
    if reason is not None:
        reasons.setdefault(row, reason)


def _id_reason(point_id: str | None) -> str | None:
    if not point_id:
        return "It has no id."
    try:
        check_id(point_id, where="Its id")
    except VectorayError as error:
        return error.message
    return None


def _source_reason(source: str) -> str | None:
    try:
        check_source(source, where="Its source")
    except VectorayError as error:
        return error.message
    return None


def _ids(table: Any, name: str) -> list[Any]:
    column = _column(table, name)
    if column is None:
        raise InvalidRequest(_missing(name, table.column_names))
    if not (pa.types.is_integer(column.type) or _is_text(column.type) or pa.types.is_null(column.type)):
        raise InvalidRequest(f"The column '{name}' of ids holds {column.type}; ids are strings or integers.")
    return _values(column.cast(pa.large_string()), name)


def _strings(table: Any, name: str) -> list[str | None] | None:
    column = _column(table, name)
    if column is None or pa.types.is_null(column.type):
        return None
    if not _is_text(column.type):
        raise InvalidRequest(f"The column '{name}' holds {column.type}; it must hold strings.")
    return _values(column, name)


def _vectors(
    table: Any, columns: Columns, target: Target, reasons: dict[int, str]
) -> tuple[npt.NDArray[np.int64], FloatMatrix]:
    """The rows that have a good vector, and the vectors: float32, shape (len(rows), dimension)."""
    column = _column(table, columns.vector)
    if column is None:
        rows, wide = _from_columns(table, columns, target)
    elif _is_text(column.type):
        rows, wide = _from_json(column, columns.vector, target, reasons)
    elif _is_list(column.type):
        rows, wide = _from_lists(column, columns.vector, target, reasons)
    else:
        raise InvalidRequest(
            f"The column '{columns.vector}' holds {column.type}; vectors are lists of numbers, or JSON "
            "arrays as strings."
        )
    with np.errstate(over="ignore"):
        vectors = wide.astype(np.float32, copy=False)
    finite = np.isfinite(vectors).all(axis=1)
    for row in rows[~finite].tolist():
        _note(reasons, row, _NOT_FINITE)
    good = finite
    if target.metric is Metric.COSINE:
        zero = finite & ~vectors.any(axis=1)
        for row in rows[zero].tolist():
            _note(reasons, row, _ALL_ZEROS)
        good = finite & ~zero
    return (rows, vectors) if good.all() else (rows[good], vectors[good])


def _from_columns(table: Any, columns: Columns, target: Target) -> tuple[npt.NDArray[np.int64], Any]:
    names = columns.dimension_columns(table.column_names)
    if not names:
        raise InvalidRequest(_missing(columns.vector, table.column_names))
    if len(names) != target.dimension:
        raise DimensionMismatch.of(
            expected=target.dimension, actual=len(names), where=f"What the columns '{columns.vector}_…' hold"
        )
    for name in names:
        _require_numbers(name, table.column(name).type)
    # What is null becomes NaN, and is refused as such.
    parts = [table.column(name).cast(pa.float64(), safe=False).to_numpy() for name in names]
    return np.arange(table.num_rows, dtype=np.int64), np.stack(parts, axis=1)


def _from_json(
    column: Any, name: str, target: Target, reasons: dict[int, str]
) -> tuple[npt.NDArray[np.int64], Any]:
    rows, vectors = [], []
    for row, text in enumerate(_values(column, name)):
        if row in reasons:
            continue
        if not text:
            _note(reasons, row, _NO_VECTOR)
            continue
        try:
            vector = np.array(orjson.loads(text), dtype=np.float64)
        except (ValueError, TypeError):
            _note(reasons, row, "Its vector is no JSON array of numbers.")
            continue
        if vector.shape != (target.dimension,):
            _note(reasons, row, _length_reason(vector.size, target))
            continue
        rows.append(row)
        vectors.append(vector)
    return np.array(rows, dtype=np.int64), np.array(vectors).reshape(len(rows), target.dimension)


def _from_lists(
    column: Any, name: str, target: Target, reasons: dict[int, str]
) -> tuple[npt.NDArray[np.int64], Any]:
    _require_numbers(name, column.type.value_type)
    if pa.types.is_fixed_size_list(column.type) and column.type.list_size != target.dimension:
        raise DimensionMismatch.of(
            expected=target.dimension, actual=column.type.list_size, where=f"Each vector of '{name}'"
        )
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy()
    for row in np.flatnonzero(lengths != target.dimension).tolist():
        _note(reasons, row, _NO_VECTOR if lengths[row] < 0 else _length_reason(int(lengths[row]), target))
    rows = np.flatnonzero(lengths == target.dimension)
    if len(rows) < len(lengths):
        column = column.filter(pa.array(lengths == target.dimension))
    # What is null in a vector becomes NaN.
    values = pc.list_flatten(column)
    if not pa.types.is_floating(values.type):
        values = values.cast(pa.float64(), safe=False)
    return rows, values.to_numpy(zero_copy_only=False).reshape(len(rows), target.dimension)


def _length_reason(length: int, target: Target) -> str:
    return f"Its vector has {length} dimensions, the collection has {target.dimension}."


def _payloads(table: Any, columns: Columns, reasons: dict[int, str]) -> list[bytes]:
    """The payload of each row, which the other columns are fields of."""
    names = columns.payload_columns(table.column_names)
    column = _column(table, columns.payload)
    if column is not None and pa.types.is_null(column.type):
        column = None
    if column is None and not names:
        return [EMPTY_PAYLOAD] * int(table.num_rows)
    given: Sequence[Any] = [None] * int(table.num_rows)
    if column is not None:
        if not (_is_text(column.type) or pa.types.is_binary(column.type) or pa.types.is_struct(column.type)):
            raise InvalidRequest(
                f"The column '{columns.payload}' holds {column.type}; payloads are JSON objects as strings, "
                "or structs."
            )
        given = _values(column, columns.payload)
    for name in names:
        _require_json(name, table.column(name).type)
    others = {name: _values(table.column(name), name) for name in names}
    payloads = []
    for row, payload in enumerate(given):
        fields = {name: values[row] for name, values in others.items()}
        try:
            payloads.append(_payload(payload, fields))
        except (ValueError, TypeError):
            _note(reasons, row, "Its payload is no JSON object.")
            payloads.append(EMPTY_PAYLOAD)
    return payloads


def _payload(given: Any, fields: Mapping[str, Any]) -> bytes:
    """One payload.

    Raises:
        ValueError, TypeError: It is no JSON object.
    """
    value = {} if given is None else given
    if isinstance(value, str | bytes):
        value = orjson.loads(value)
        if not isinstance(value, dict):
            raise TypeError
        if not fields:
            return given.encode() if isinstance(given, str) else bytes(given)
    return orjson.dumps({**fields, **value})


def _column(table: Any, name: str) -> Any:
    names = table.column_names
    if names.count(name) > 1:
        raise InvalidRequest(f"There are {names.count(name)} columns '{name}'; a name must be there once.")
    if name not in names:
        return None
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.combine_chunks() if not isinstance(column, pa.Array) else column


def _values(column: Any, name: str) -> list[Any]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The column '{name}' holds strings that are not valid UTF-8.") from error


def _missing(name: str, names: Sequence[str]) -> str:
    there = ", ".join(f"'{one}'" for one in names[:20]) or "none"
    return f"There is no column '{name}'; the columns are {there}{', …' if len(names) > 20 else ''}."


def _require_numbers(name: str, kind: Any) -> None:
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise InvalidRequest(f"The column '{name}' holds {kind} where a vector must have numbers.")


def _require_json(name: str, kind: Any) -> None:
    """See that the values of a type are JSON, as far as it can be said of the type alone."""
    types = pa.types
    if types.is_dictionary(kind) or _is_list(kind):
        return _require_json(name, kind.value_type)
    if types.is_struct(kind):
        for field in kind:
            _require_json(name, field.type)
        return None
    if not any(
        is_kind(kind)
        for is_kind in (
            types.is_null,
            types.is_boolean,
            types.is_integer,
            types.is_floating,
            _is_text,
            types.is_timestamp,
            types.is_date,
            types.is_time,
        )
    ):
        raise InvalidRequest(
            f"The column '{name}' holds {kind}, which cannot be a field of a payload; leave it out, or "
            "make it strings."
        )
    return None


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_list(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))
