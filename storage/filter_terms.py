"""The terms of a filter index: its file's format, and the bytes that stand for fields and values.

A term says where a value stands (field and kind) and then what it is, in bytes that sort as the values do, so
that a range of values is a run of terms. The terms that begin alike up to the value are a group.
"""

from enum import IntEnum
from functools import reduce
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vectoray.core.filters import Path

Rows: TypeAlias = npt.NDArray[np.uint32]
Keys: TypeAlias = npt.NDArray[np.uint64]

# What follows is part of the format: whoever changes it changes the number.
FORMAT = b"2"
SCHEMA = pa.schema({"term": pa.large_binary(), "rows": pa.large_list(pa.uint32())})
# Longer than any time that `storage.filters.text_us` reads, so that times are never cut.
STRING_BYTES = 128

_SIGN = np.uint64(1 << 63)


class Section(IntEnum):
    """The first byte of a term.

    A term of FIELD goes on with the field's path; its place in the file is the field's number. Terms of VALUE
    and ELEMENT (of an array) go on with the field's number, the kind and the value. Terms of SOURCE go on
    with the source, whole. UNINDEXED and UNREAD have one term each, the last two of the file: rows with
    fields left out, and rows that are no JSON object.
    """

    FIELD = 0
    VALUE = 1
    ELEMENT = 2
    SOURCE = 3
    UNINDEXED = 4
    UNREAD = 5


class Kind(IntEnum):
    """The fourth byte of a term in VALUE and ELEMENT.

    ROUNDED are integers that float64 cannot hold, by the nearest it can. CUT are strings longer than
    `STRING_BYTES`, by that many bytes. HUGE are arrays whose elements are left out.
    """

    NULL = 0
    FALSE = 1
    TRUE = 2
    NUMBER = 3
    ROUNDED = 4
    STRING = 5
    CUT = 6
    TIME = 7
    HUGE = 8


def group_start(section: Section, field: int, kind: Kind) -> bytes:
    """How the terms of a field's values, or elements, of one kind begin."""
    return bytes((section, field >> 8, field & 0xFF, kind))


def utf8(text: str) -> bytes:
    """A string as it stands in a term."""
    # A condition may hold a lone surrogate, which no payload can; so encoded, it still sorts by code point.
    return text.encode("utf-8", "surrogatepass")


def child_term(term: bytes, key: str) -> bytes:
    """The term of a field below the field of ``term``; lengths keep any keys apart."""
    encoded = utf8(key)
    return term + len(encoded).to_bytes(4, "big") + encoded


def path_term(path: Path) -> bytes:
    """The term of a field."""
    return reduce(child_term, path, bytes((Section.FIELD,)))


def source_term(source: str) -> bytes:
    """The term of the rows that came from a document."""
    return bytes((Section.SOURCE,)) + utf8(source)


def number_keys(numbers: npt.NDArray[np.float64]) -> Keys:
    """Integers that sort as the numbers do: IEEE 754 sorts by sign and magnitude. -0.0 becomes 0.0."""
    bits = (numbers + 0.0).view(np.uint64)
    return np.where(bits & _SIGN != 0, ~bits, bits | _SIGN)


def time_keys(times_us: npt.NDArray[np.int64]) -> Keys:
    """Integers that sort as the instants do, which are in microseconds since 1970."""
    return times_us.view(np.uint64) ^ _SIGN


def key_bytes(keys: Keys) -> bytes:
    """Keys as they stand in terms, eight bytes each, one after the other."""
    return keys.astype(">u8").tobytes()
