"""JSON bodies, with vectors straight into float32: no Python number is made of what only NumPy needs.

simdjson reads what is well formed. Whatever it does not like, or might take more generously than orjson, is
read again by orjson and validated in Python, which finds the words for what is wrong. So there is one
definition of what is accepted, and it is not this file's. See docs/adr/0020.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import orjson
import simdjson

from vectoray.core.errors import InvalidRequest
from vectoray.core.model import FloatVector

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

UNREADABLE = (ValueError, TypeError, RuntimeError)
"""What simdjson raises about a document; `NotPlain` is among them."""


class NotPlain(ValueError):
    """The document is not of the simple form that is read fast."""


class Reader(Protocol):
    """Reads the value of one key, as simdjson has it."""

    def __call__(self, value: Any, /) -> tuple[Any, int]:
        """What a wire model takes for ``value``, and how many ``[`` in the body it accounts for.

        simdjson flattens ``[1, [2]]`` when asked for numbers. A body without other ``[`` than those of the
        lists that were expected has no such list.

        Raises:
            NotPlain: It is of another form; also anything that simdjson raises.
        """


def decode_json(body: bytes, model: Any) -> Any:
    """A JSON document as Python values, with what ``model.readers`` make of their keys.

    One that is an array is what ``model.array_reader`` makes of it.

    Raises:
        InvalidRequest: It is no JSON by the standard.
    """
    if model.readers or model.array_reader is not None:
        try:
            return _read(body, model.readers, model.array_reader)
        except UNREADABLE:
            pass
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.", {"position": error.pos}) from None


def read_vector(value: Any) -> tuple[FloatVector, int]:
    """A flat list of numbers as float32, shape (d,). A `Reader`."""
    # A double beyond float32 becomes infinite here; the service refuses it and names the element.
    with np.errstate(over="ignore"):
        return to_float32(value), 1


def to_float32(value: Any) -> FloatVector:
    """As `read_vector`, for a caller that has told NumPy to be silent about infinite results."""
    if type(value) is not simdjson.Array:
        raise NotPlain
    return np.frombuffer(value.as_buffer(of_type="d"), dtype=np.float64).astype(np.float32)


def keys_of(value: Any) -> list[str]:
    """The keys of an object.

    Raises:
        NotPlain: It is no object, or a key is there twice: simdjson finds the first, orjson the last.
    """
    if type(value) is not simdjson.Object:
        raise NotPlain
    keys = list(value)
    if len(set(keys)) != len(keys):
        raise NotPlain
    return keys


def _read(body: bytes, readers: Mapping[str, Reader], array_reader: Reader | None) -> Any:
    if body.startswith(_BYTE_ORDER_MARK) or (b"\\" in body and _has_odd_escape(body)):
        raise NotPlain
    # A parser keeps the memory of the largest document it has read, and a new one costs nothing.
    document: Any = simdjson.Parser().parse(body)
    if array_reader is not None and type(document) is simdjson.Array:
        read, brackets = array_reader(document)
    else:
        read, brackets = _object(document, readers)
    if not _has_so_many(body, brackets):
        raise NotPlain
    return read


def _object(document: Any, readers: Mapping[str, Reader]) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    brackets = 0
    for key in keys_of(document):
        value = document[key]
        reader = readers.get(key)
        if reader is None:
            values[key] = _plain(value)
        else:
            values[key], accounted = reader(value)
            brackets += accounted
    return values, brackets


def _has_odd_escape(body: bytes) -> bool:
    """Whether a bracket is escaped, which is counted after it was read but not before, or a NUL.

    simdjson looks for a key up to its first NUL, so it finds another one's value or none.
    """
    return b"\\u005" in body or b"\\u0000" in body


def _has_so_many(body: bytes, brackets: int) -> bool:
    """Whether there are exactly so many ``[``: for the few there are, quicker than counting them."""
    place = -1
    for _ in range(brackets):
        place = body.find(b"[", place + 1)
        if place < 0:
            return False
    return body.find(b"[", place + 1) < 0


def _plain(value: Any) -> Any:
    if type(value) is simdjson.Object:
        return value.as_dict()
    if type(value) is simdjson.Array:
        return value.as_list()
    return value
