"""Writes the filter index of a segment: takes rows apart into terms and the rows that have each.

Of payloads that would be dear to index whole, the rest is left out, and their rows are noted. What terms look
like is in `storage.filter_terms`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import compress, repeat
from operator import eq
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from storage.filter_terms import (
    FORMAT,
    SCHEMA,
    STRING_BYTES,
    Keys,
    Kind,
    Rows,
    Section,
    child_term,
    group_start,
    key_bytes,
    number_keys,
    path_term,
    time_keys,
)
from storage.filters import text_us

# Distinct terms in order, how many rows each has, and the rows, term after term.
_Group: TypeAlias = tuple[Any, npt.NDArray[np.int64], Rows]

# Where the rest is left out. A row that has a field left out is a row of `Section.UNINDEXED`.
_MAX_FIELDS = 1024
_MAX_DEPTH = 16
_MAX_PATH_BYTES = 1024
_MAX_ARRAY_ELEMENTS = 1024
_MAX_SEGMENT_ELEMENTS = 1 << 22
# Values held as Python objects before they are packed into arrays.
_PACK_VALUES = 1 << 18

# Stands for the elements of an array that are left out.
_HUGE = object()


class _Column:
    """The values at one place of the payloads, with their rows: first as objects, then packed by kind."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.values: list[Any] = []
        self._packed: defaultdict[Kind, list[tuple[Rows, Any]]] = defaultdict(list)

    def pack(self) -> Rows:
        """Move what the lists hold into arrays. Returns the rows."""
        rows, values = np.array(self.rows, dtype=np.uint32), self.values
        self.rows, self.values = [], []
        types = list(map(type, values))
        for kind in set(types):
            chosen = [other is kind for other in types]
            self._pack(kind, rows[chosen], list(compress(values, chosen)))
        return rows

    def _pack(self, kind: type, rows: Rows, values: list[Any]) -> None:
        if kind is str:
            texts = pa.array(values, pa.large_binary())
            long = pc.greater(pc.binary_length(texts), STRING_BYTES)
            is_long = long.to_numpy(zero_copy_only=False)
            self._add(Kind.STRING, rows[~is_long], texts.filter(pc.invert(long)))
            self._add(Kind.CUT, rows[is_long], pc.binary_slice(texts.filter(long), 0, STRING_BYTES))
        elif kind is int or kind is float:
            numbers = np.array(values, dtype=np.float64)
            exact = np.fromiter(map(eq, values, numbers.tolist()), np.bool_, len(values))
            self._add(Kind.NUMBER, rows[exact], number_keys(numbers[exact]))
            self._add(Kind.ROUNDED, rows[~exact], number_keys(numbers[~exact]))
        elif kind is bool:
            true = np.array(values)
            self._add(Kind.FALSE, rows[~true])
            self._add(Kind.TRUE, rows[true])
        elif kind is type(None):
            self._add(Kind.NULL, rows)
        elif kind is type(_HUGE):
            self._add(Kind.HUGE, rows)

    def _add(self, kind: Kind, rows: Rows, keys: Any = None) -> None:
        if len(rows):
            self._packed[kind].append((rows, keys))

    def groups(self) -> Iterator[tuple[Kind, _Group]]:
        """What was packed, a group for each kind."""
        for kind, parts in self._packed.items():
            rows = np.concatenate([part for part, _ in parts])
            keys = [part for _, part in parts]
            if kind in {Kind.NUMBER, Kind.ROUNDED}:
                yield kind, _group_keys(np.concatenate(keys), rows)
            elif kind in {Kind.STRING, Kind.CUT}:
                yield kind, _group_strings(pa.concat_arrays(keys), rows)
            else:
                yield kind, _group_rows(rows)


def _group_rows(rows: Rows) -> _Group:
    return pa.array([b""], pa.large_binary()), np.array([len(rows)]), rows


def _group_keys(keys: Keys, rows: Rows) -> _Group:
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    firsts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    data = pa.py_buffer(key_bytes(keys[firsts]))
    terms = pa.Array.from_buffers(pa.binary(8), len(firsts), [None, data]).cast(pa.large_binary())
    return terms, np.diff(firsts, append=len(keys)), rows[order]


def _group_strings(strings: Any, rows: Rows) -> _Group:
    encoded = strings.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    places = np.empty(len(order), dtype=np.int64)
    places[order.to_numpy()] = np.arange(len(order))
    codes = places[encoded.indices.to_numpy()]
    return encoded.dictionary.take(order), np.bincount(codes), rows[np.argsort(codes, kind="stable")]


def _group_times(strings: _Group) -> _Group | None:
    """The strings that are times, by the instants they name."""
    terms, counts, rows = strings
    dated = pc.match_substring_regex(terms, r"^\d{4}-\d\d-\d\d")
    is_time = dated.to_numpy(zero_copy_only=False).copy()
    times_us = [text_us(term.decode()) for term in terms.filter(dated).to_pylist()]
    is_time[is_time] = [time_us is not None for time_us in times_us]
    if not is_time.any():
        return None
    keys = time_keys(np.array([time_us for time_us in times_us if time_us is not None], dtype=np.int64))
    return _group_keys(np.repeat(keys, counts[is_time]), rows[np.repeat(is_time, counts)])


class _Field:
    """A field of the payloads: what stands there, what stands in its arrays, and the fields below it."""

    def __init__(self, term: bytes, depth: int) -> None:
        self.term = term
        self.depth = depth
        self.children: dict[str, _Field] = {}
        self.present: list[Rows] = []
        self.own = _Column()
        self.elements = _Column()

    def pack(self) -> None:
        """Move the objects gathered here into arrays."""
        self.present.append(self.own.pack())
        self.elements.pack()

    def groups(self, number: int) -> Iterator[tuple[bytes, _Group]]:
        """The field's groups, and how their terms begin."""
        yield self.term, _group_rows(np.concatenate(self.present))
        for kind, group in self.own.groups():
            yield group_start(Section.VALUE, number, kind), group
            times = _group_times(group) if kind is Kind.STRING else None
            if times is not None:
                yield group_start(Section.VALUE, number, Kind.TIME), times
        for kind, group in self.elements.groups():
            yield group_start(Section.ELEMENT, number, kind), group


class _Gatherer:
    """Takes payloads apart into fields."""

    def __init__(self) -> None:
        self._root = _Field(path_term(()), 0)
        self._fields: list[_Field] = []
        self._values = 0
        self._elements = 0
        self._unindexed: list[int] = []
        self._unread: list[int] = []

    def add(self, row: int, payload: bytes) -> None:
        """Gather one payload."""
        try:
            document = orjson.loads(payload)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            self._unread.append(row)
            return
        self._gather(self._root, document, row)
        if self._values >= _PACK_VALUES:
            self._pack()

    def _gather(self, field: _Field, document: dict[str, Any], row: int) -> None:
        self._values += len(document)
        for key, value in document.items():
            child = field.children.get(key) or self._admit(field, key)
            if child is None:
                self._unindexed.append(row)
                continue
            child.own.rows.append(row)
            child.own.values.append(value)
            kind = type(value)
            if kind is dict:
                self._gather(child, value, row)
            elif kind is list:
                self._gather_elements(child.elements, value, row)

    def _gather_elements(self, column: _Column, elements: list[Any], row: int) -> None:
        count = len(elements)
        if count > _MAX_ARRAY_ELEMENTS or self._elements + count > _MAX_SEGMENT_ELEMENTS:
            elements, count = [_HUGE], 1
        self._elements += count
        self._values += count
        column.rows.extend(repeat(row, count))
        column.values.extend(elements)

    def _admit(self, parent: _Field, key: str) -> _Field | None:
        term = child_term(parent.term, key)
        if len(self._fields) >= _MAX_FIELDS or parent.depth >= _MAX_DEPTH or len(term) > _MAX_PATH_BYTES:
            return None
        child = parent.children[key] = _Field(term, parent.depth + 1)
        self._fields.append(child)
        return child

    def _pack(self) -> None:
        self._values = 0
        for field in self._fields:
            field.pack()

    def groups(self) -> list[tuple[bytes, _Group]]:
        """Every group and how its terms begin, in the order of the file. Call it once, at the end."""
        self._pack()
        fields = sorted(self._fields, key=lambda field: field.term)
        groups = [group for number, field in enumerate(fields) for group in field.groups(number)]
        for section, rows in ((Section.UNINDEXED, self._unindexed), (Section.UNREAD, self._unread)):
            groups.append((bytes((section,)), _group_rows(np.unique(np.array(rows, dtype=np.uint32)))))
        return sorted(groups, key=lambda group: group[0])


def _source_groups(sources: Any) -> Iterator[tuple[bytes, _Group]]:
    """The rows of each source, if any row has one."""
    present = sources.is_valid()
    rows = np.flatnonzero(present.to_numpy(zero_copy_only=False)).astype(np.uint32)
    if len(rows):
        yield bytes((Section.SOURCE,)), _group_strings(sources.filter(present).cast(pa.large_binary()), rows)


def write_filter_index(path: Path, payloads: Iterable[bytes], sources: Any = None) -> None:
    """Write the index of a segment's rows; whoever publishes the file makes it durable.

    Args:
        path: The file to make.
        payloads: JSON objects, in the order of the segment's rows.
        sources: A `pyarrow.Array` of ``large_string``, in the same order; None if no row has a source.

    Raises:
        OSError: The disk refused.
    """
    gatherer = _Gatherer()
    count = 0
    for payload in payloads:
        gatherer.add(count, payload)
        count += 1
    groups = gatherer.groups()
    if sources is not None:
        groups = sorted([*groups, *_source_groups(sources)], key=lambda group: group[0])
    terms, counts, rows = [], [np.zeros(1, dtype=np.int64)], []
    for prefix, group in groups:
        start, nothing = pa.scalar(prefix, pa.large_binary()), pa.scalar(b"", pa.large_binary())
        terms.append(pc.binary_join_element_wise(start, group[0], nothing))
        counts.append(group[1])
        rows.append(group[2])
    postings = pa.LargeListArray.from_arrays(
        pa.array(np.cumsum(np.concatenate(counts))), pa.array(np.concatenate(rows))
    )
    schema = SCHEMA.with_metadata({b"format": FORMAT, b"rows": str(count).encode()})
    batch = pa.record_batch([pa.concat_arrays(terms), postings], schema=schema)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(batch)
