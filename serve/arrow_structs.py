"""Arrow structs as JSON objects, within bounds: a few bytes of Arrow can stand for very many values."""

from typing import Any

import orjson
import pyarrow as pa

from serve.json_values import check_json_values
from vectoray.core.errors import InvalidRequest

_MAX_JSON_BYTES = 64 * 1024 * 1024
_VALUE_BYTES = 8
# As JSON it is less, but it is a Python dictionary in between.
_STRUCT_BYTES = 64


def encode_structs(column: Any, *, where: str) -> list[bytes | None]:
    """Each row of a struct array as the bytes of a JSON object; None for a null.

    Args:
        column: Of booleans, integers, floats, strings, and structs and lists of these.
        where: How to name the rows in an error: ``where[3].payload``.

    Raises:
        InvalidRequest: Another type is in it; a struct has two fields of one name; all rows together are
            above 64 MiB; a number is not finite.
    """
    if _json_bytes(column, "payload") > _MAX_JSON_BYTES:
        raise InvalidRequest(
            "The structs in 'payload' are too large as JSON; send them in smaller batches.",
            {"at": "payload", "limit_bytes": _MAX_JSON_BYTES},
        )
    return [
        None if value is None else _encode(value, f"{where}[{row}].payload")
        for row, value in enumerate(column.to_pylist())
    ]


def _encode(value: dict[str, Any], where: str) -> bytes:
    check_json_values(value, where=where)
    return orjson.dumps(value)


def _json_bytes(array: Any, at: str) -> int:
    """About how long ``array`` is as JSON, without making any of it."""
    kind = array.type
    if pa.types.is_struct(kind) and kind.num_fields:
        fields = [kind.field(number) for number in range(kind.num_fields)]
        if len({field.name for field in fields}) < len(fields):
            raise InvalidRequest(f"'{at[:100]}' has two fields of one name.", {"at": at[:100]})
        bytes_a_row = _STRUCT_BYTES + sum(len(field.name) + _VALUE_BYTES for field in fields)
        children = zip(array.flatten(), fields, strict=True)
        return bytes_a_row * len(array) + sum(
            _json_bytes(child, f"{at}.{field.name}") for child, field in children
        )
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _VALUE_BYTES * len(array) + _json_bytes(array.flatten(), at)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _VALUE_BYTES * len(array) + int(array.nbytes)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _VALUE_BYTES * len(array)
    raise InvalidRequest(
        f"'{at}' is of a type that has no form in JSON here: {kind}."[:200], {"at": at[:100]}
    )
