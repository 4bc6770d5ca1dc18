"""The filter index of a segment: one mapped file that says which rows meet a condition.

It is an inverted index: sorted terms, and for each term the rows that have it (its postings), one term after
the other. A term says where a value stands (field and kind) and then what it is, in bytes that sort as the
values do, so that a range of values is a run of terms, and the rows of a run are one slice.

What would be dear to index exactly is left inexact, and the index says so: every answer is a lower and an
upper bound, the rows that match for sure and the rows that may match. The payloads of those in between
decide. The meaning of conditions is that of `storage.filters`.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from enum import IntEnum
from functools import reduce
from itertools import compress, repeat
from math import inf, isnan
from operator import eq, ge, gt, le, lt
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from storage.columns import numbers
from storage.filters import instant_us, payload_test, text_us
from vectoray.core.errors import CorruptData
from vectoray.core.filters import (
    And,
    Contains,
    Eq,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Prefix,
    Range,
    Scalar,
    TimeRange,
)
from vectoray.core.filters import Path as FieldPath

BoolArray: TypeAlias = npt.NDArray[np.bool_]
_Rows: TypeAlias = npt.NDArray[np.uint32]
_Keys: TypeAlias = npt.NDArray[np.uint64]
# Terms from the first up to, but without, the last.
_Span: TypeAlias = tuple[int, int]
# Runs of terms whose rows match for sure, and runs whose rows may match.
_Spans: TypeAlias = tuple[list[_Span], list[_Span]]
# An end of a range: whether it is the lower one, its key, and whether a term with that key is inside.
_Edge: TypeAlias = tuple[bool, bytes, bool]
# Distinct terms in order, how many rows each has, and the rows, term after term.
_Group: TypeAlias = tuple[Any, npt.NDArray[np.int64], _Rows]
_Leaf: TypeAlias = Eq | In | Range | TimeRange | Exists | Prefix | Contains

# What follows is part of the format: whoever changes it changes the number.
_FORMAT = b"1"
_SCHEMA = pa.schema({"term": pa.large_binary(), "rows": pa.large_list(pa.uint32())})
# Longer than any time that `text_us` reads, so that times are never cut.
_STRING_BYTES = 128

# Where the rest is left out. A row that has a field left out is a row of `_Section.UNINDEXED`.
_MAX_FIELDS = 1024
_MAX_DEPTH = 16
_MAX_PATH_BYTES = 1024
_MAX_ARRAY_ELEMENTS = 1024
_MAX_SEGMENT_ELEMENTS = 1 << 22
# Values held as Python objects before they are packed into arrays.
_PACK_VALUES = 1 << 18

_SIGN = np.uint64(1 << 63)
# Stands for the elements of an array that are left out.
_HUGE = object()


class _Section(IntEnum):
    """The first byte of a term.

    A term of FIELD goes on with the field's path; its place in the file is the field's number. Terms of VALUE
    and ELEMENT (of an array) go on with the field's number, the kind and the value. UNINDEXED and UNREAD have
    one term each, the last two of the file: rows with fields left out, and rows that are no JSON object.
    """

    FIELD = 0
    VALUE = 1
    ELEMENT = 2
    UNINDEXED = 3
    UNREAD = 4


class _Kind(IntEnum):
    """The fourth byte of a term in VALUE and ELEMENT.

    ROUNDED are integers that float64 cannot hold, by the nearest it can. CUT are strings longer than
    `_STRING_BYTES`, by that many bytes. HUGE are arrays whose elements are left out.
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


def _prefix(section: _Section, field: int, kind: _Kind) -> bytes:
    return bytes((section, field >> 8, field & 0xFF, kind))


def _utf8(text: str) -> bytes:
    # A condition may hold a lone surrogate, which no payload can; so encoded, it still sorts by code point.
    return text.encode("utf-8", "surrogatepass")


def _extend(term: bytes, key: str) -> bytes:
    """The term of a field below the field of ``term``; lengths keep any keys apart."""
    encoded = _utf8(key)
    return term + len(encoded).to_bytes(4, "big") + encoded


def _path_term(path: FieldPath) -> bytes:
    return reduce(_extend, path, bytes((_Section.FIELD,)))


def _number_keys(numbers: npt.NDArray[np.float64]) -> _Keys:
    """Integers that sort as the numbers do: IEEE 754 sorts by sign and magnitude. -0.0 becomes 0.0."""
    bits = (numbers + 0.0).view(np.uint64)
    return np.where(bits & _SIGN != 0, ~bits, bits | _SIGN)


def _time_keys(times_us: npt.NDArray[np.int64]) -> _Keys:
    return times_us.view(np.uint64) ^ _SIGN


def _key_bytes(keys: _Keys) -> bytes:
    return keys.astype(">u8").tobytes()


# Writing.


class _Column:
    """The values at one place of the payloads, with their rows: first as objects, then packed by kind."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.values: list[Any] = []
        self._packed: defaultdict[_Kind, list[tuple[_Rows, Any]]] = defaultdict(list)

    def pack(self) -> _Rows:
        """Move what the lists hold into arrays. Returns the rows."""
        rows, values = np.array(self.rows, dtype=np.uint32), self.values
        self.rows, self.values = [], []
        types = list(map(type, values))
        for kind in set(types):
            chosen = [other is kind for other in types]
            self._pack(kind, rows[chosen], list(compress(values, chosen)))
        return rows

    def _pack(self, kind: type, rows: _Rows, values: list[Any]) -> None:
        if kind is str:
            texts = pa.array(values, pa.large_binary())
            long = pc.greater(pc.binary_length(texts), _STRING_BYTES)
            is_long = long.to_numpy(zero_copy_only=False)
            self._add(_Kind.STRING, rows[~is_long], texts.filter(pc.invert(long)))
            self._add(_Kind.CUT, rows[is_long], pc.binary_slice(texts.filter(long), 0, _STRING_BYTES))
        elif kind is int or kind is float:
            numbers = np.array(values, dtype=np.float64)
            exact = np.fromiter(map(eq, values, numbers.tolist()), np.bool_, len(values))
            self._add(_Kind.NUMBER, rows[exact], _number_keys(numbers[exact]))
            self._add(_Kind.ROUNDED, rows[~exact], _number_keys(numbers[~exact]))
        elif kind is bool:
            true = np.array(values)
            self._add(_Kind.FALSE, rows[~true])
            self._add(_Kind.TRUE, rows[true])
        elif kind is type(None):
            self._add(_Kind.NULL, rows)
        elif kind is type(_HUGE):
            self._add(_Kind.HUGE, rows)

    def _add(self, kind: _Kind, rows: _Rows, keys: Any = None) -> None:
        if len(rows):
            self._packed[kind].append((rows, keys))

    def groups(self) -> Iterator[tuple[_Kind, _Group]]:
        """What was packed, a group for each kind."""
        for kind, parts in self._packed.items():
            rows = np.concatenate([part for part, _ in parts])
            keys = [part for _, part in parts]
            if kind in {_Kind.NUMBER, _Kind.ROUNDED}:
                yield kind, _group_keys(np.concatenate(keys), rows)
            elif kind in {_Kind.STRING, _Kind.CUT}:
                yield kind, _group_strings(pa.concat_arrays(keys), rows)
            else:
                yield kind, _group_rows(rows)


def _group_rows(rows: _Rows) -> _Group:
    return pa.array([b""], pa.large_binary()), np.array([len(rows)]), rows


def _group_keys(keys: _Keys, rows: _Rows) -> _Group:
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    firsts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    data = pa.py_buffer(_key_bytes(keys[firsts]))
    terms = pa.Array.from_buffers(pa.binary(8), len(firsts), [None, data]).cast(pa.large_binary())
    return terms, np.diff(firsts, append=len(keys)), rows[order]


def _group_strings(strings: Any, rows: _Rows) -> _Group:
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
    keys = _time_keys(np.array([time_us for time_us in times_us if time_us is not None], dtype=np.int64))
    return _group_keys(np.repeat(keys, counts[is_time]), rows[np.repeat(is_time, counts)])


class _Field:
    """A field of the payloads: what stands there, what stands in its arrays, and the fields below it."""

    def __init__(self, term: bytes, depth: int) -> None:
        self.term = term
        self.depth = depth
        self.children: dict[str, _Field] = {}
        self.present: list[_Rows] = []
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
            yield _prefix(_Section.VALUE, number, kind), group
            times = _group_times(group) if kind is _Kind.STRING else None
            if times is not None:
                yield _prefix(_Section.VALUE, number, _Kind.TIME), times
        for kind, group in self.elements.groups():
            yield _prefix(_Section.ELEMENT, number, kind), group


class _Gatherer:
    """Takes payloads apart into fields."""

    def __init__(self) -> None:
        self._root = _Field(_path_term(()), 0)
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
        term = _extend(parent.term, key)
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
        for section, rows in ((_Section.UNINDEXED, self._unindexed), (_Section.UNREAD, self._unread)):
            groups.append((bytes((section,)), _group_rows(np.unique(np.array(rows, dtype=np.uint32)))))
        return sorted(groups, key=lambda group: group[0])


def write_filter_index(path: Path, payloads: Iterable[bytes]) -> None:
    """Write the index of a segment's payloads; whoever publishes the file makes it durable.

    Args:
        path: The file to make.
        payloads: JSON objects, in the order of the segment's rows.

    Raises:
        OSError: The disk refused.
    """
    gatherer = _Gatherer()
    count = 0
    for payload in payloads:
        gatherer.add(count, payload)
        count += 1
    terms, counts, rows = [], [np.zeros(1, dtype=np.int64)], []
    for prefix, group in gatherer.groups():
        start, nothing = pa.scalar(prefix, pa.large_binary()), pa.scalar(b"", pa.large_binary())
        terms.append(pc.binary_join_element_wise(start, group[0], nothing))
        counts.append(group[1])
        rows.append(group[2])
    postings = pa.LargeListArray.from_arrays(
        pa.array(np.cumsum(np.concatenate(counts))), pa.array(np.concatenate(rows))
    )
    schema = _SCHEMA.with_metadata({b"format": _FORMAT, b"rows": str(count).encode()})
    batch = pa.record_batch([pa.concat_arrays(terms), postings], schema=schema)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(batch)


# Reading.


class _Terms:
    """The sorted terms, as a sequence that makes each of them only when it is asked for."""

    def __init__(self, column: Any) -> None:
        _, offsets, data = column.buffers()
        self._offsets = memoryview(offsets).cast("q")[: len(column) + 1]
        self._data = memoryview(data)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, at: int) -> bytes:
        return bytes(self._data[self._offsets[at] : self._offsets[at + 1]])


class FilterIndex:
    """The index of one segment, mapped. Any number of threads may ask at the same time."""

    def __init__(self, path: Path, rows: int) -> None:
        """Map the file that `write_filter_index` wrote.

        Args:
            path: The file.
            rows: How many rows the segment has.

        Raises:
            CorruptData: The file is not there, is damaged, or belongs to other rows.
        """
        try:
            batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
            batch.validate()
            metadata = batch.schema.metadata or {}
            fits = (
                batch.schema.equals(_SCHEMA)
                and metadata.get(b"format") == _FORMAT
                and metadata.get(b"rows") == str(rows).encode()
            )
            if not fits:
                raise CorruptData("A filter index does not fit its segment.")
            self._terms = _Terms(batch["term"])
            self._starts = memoryview(batch["rows"].buffers()[1]).cast("q")[: len(self._terms) + 1]
            self._postings: _Rows = numbers(batch["rows"].values, np.uint32)
            unread = self._find(bytes((_Section.UNREAD,)))
            unindexed = self._find(bytes((_Section.UNINDEXED,)))
        except (pa.ArrowException, OSError, ValueError, TypeError, IndexError) as error:
            raise CorruptData("A filter index cannot be read.") from error
        if unread is None or unindexed is None:
            raise CorruptData("A filter index is incomplete.")
        self._unread, self._unindexed = unread, unindexed
        self._rows = rows

    def matching(self, condition: Filter) -> tuple[BoolArray, BoolArray]:
        """The rows that meet a condition, as a lower and an upper bound.

        Returns:
            bool, shape (rows,), twice: the rows that match for sure, and the rows that may match, which
            include the former.

        Raises:
            CorruptData: The file is damaged.
        """
        match condition:
            case And(conditions):
                sure, maybe = np.ones((2, self._rows), dtype=np.bool_)
                for part_sure, part_maybe in map(self.matching, conditions):
                    sure, maybe = sure & part_sure, maybe & part_maybe
                return sure, maybe
            case Or(conditions):
                sure, maybe = np.zeros((2, self._rows), dtype=np.bool_)
                for part_sure, part_maybe in map(self.matching, conditions):
                    sure, maybe = sure | part_sure, maybe | part_maybe
                return sure, maybe
            case Not(negated):
                sure, maybe = self.matching(negated)
                return ~maybe, ~sure
            case _:
                return self._leaf(condition)

    def _leaf(self, condition: _Leaf) -> tuple[BoolArray, BoolArray]:
        sure = np.zeros(self._rows, dtype=np.bool_)
        if not condition.path:
            # The payload itself, which is no field.
            return sure, ~sure
        try:
            sure_spans, maybe_spans = self._spans(condition)
            self._mark(sure, sure_spans)
            maybe = sure.copy()
            self._mark(maybe, [*maybe_spans, self._unread])
        except (IndexError, ValueError) as error:
            raise CorruptData("A filter index is damaged.") from error
        return sure, maybe

    def _mark(self, marked: BoolArray, spans: Iterable[_Span]) -> None:
        """Set the rows of some runs of terms."""
        for first, last in spans:
            if first < last:
                marked[self._postings[self._starts[first] : self._starts[last]]] = True

    def _spans(self, condition: _Leaf) -> _Spans:  # noqa: PLR0911  (one branch a class)
        term = _path_term(condition.path)
        field = self._first(term)
        if self._terms[field] != term:
            return [], [self._unindexed]
        match condition:
            case Exists():
                return [(field, field + 1)], []
            case Eq(_, value):
                return self._equal(_Section.VALUE, field, (value,))
            case In(_, values):
                return self._equal(_Section.VALUE, field, values)
            case Contains(_, value):
                sure, maybe = self._equal(_Section.ELEMENT, field, (value,))
                return sure, [*maybe, self._group(_prefix(_Section.ELEMENT, field, _Kind.HUGE))]
            case Range():
                return self._range(field, condition)
            case TimeRange():
                group = _prefix(_Section.VALUE, field, _Kind.TIME)
                return [self._between(group, _edges(condition, _near_time))], []
            case Prefix(_, prefix):
                return self._prefixed(field, _utf8(prefix))

    def _equal(self, section: _Section, field: int, values: Sequence[Scalar]) -> _Spans:
        sure: list[_Span] = []
        maybe: list[_Span] = []
        for value in values:
            kind, key, exact = _value_key(value)
            span = self._find(_prefix(section, field, kind) + key)
            if span is not None:
                (sure if exact else maybe).append(span)
        return sure, maybe

    def _range(self, field: int, condition: Range) -> _Spans:
        limits = [limit for _, _, limit in _bounds(condition)]
        if any(isinstance(limit, float) and isnan(limit) for limit in limits):
            return [], []
        sure, maybe = [], []
        of_text = [isinstance(limit, str) for limit in limits]
        # Without a limit, numbers and strings are all inside.
        if not any(of_text):
            number, rounded = (_prefix(_Section.VALUE, field, kind) for kind in (_Kind.NUMBER, _Kind.ROUNDED))
            edges = _edges(condition, _near_number)
            sure += [self._between(number, edges), self._between(rounded, edges, at_edge=False)]
            maybe += [self._between(rounded, edges, at_edge=True)]
        if all(of_text):
            string, cut = (_prefix(_Section.VALUE, field, kind) for kind in (_Kind.STRING, _Kind.CUT))
            sure += [self._between(string, _edges(condition, _near_string))]
            edges = _edges(condition, _near_cut)
            sure += [self._between(cut, edges, at_edge=False)]
            maybe += [self._between(cut, edges, at_edge=True)]
        return sure, maybe

    def _between(self, group: bytes, edges: Sequence[_Edge], *, at_edge: bool | None = None) -> _Span:
        """The group's terms inside all edges.

        Args:
            group: How the group's terms begin.
            edges: Lower and upper ones, in any order.
            at_edge: Whether a term right at an edge is inside; None for what the edge says itself.
        """
        first, last = self._group(group)
        for lower, key, met in edges:
            inside = met if at_edge is None else at_edge
            # To the left of the equal term, or to its right.
            place = bisect_left if inside == lower else bisect_right
            at = place(self._terms, group + key)
            first, last = (max(first, at), last) if lower else (first, min(last, at))
        return first, last

    def _prefixed(self, field: int, prefix: bytes) -> _Spans:
        sure = [self._group(_prefix(_Section.VALUE, field, _Kind.STRING) + prefix)]
        cut = self._group(_prefix(_Section.VALUE, field, _Kind.CUT) + prefix[:_STRING_BYTES])
        return (sure, [cut]) if len(prefix) > _STRING_BYTES else ([*sure, cut], [])

    def _group(self, start: bytes) -> _Span:
        """The terms that begin so."""
        first = self._first(start)
        return first, bisect_right(self._terms, start, first, key=lambda term: term[: len(start)])

    def _first(self, term: bytes) -> int:
        return bisect_left(self._terms, term)

    def _find(self, term: bytes) -> _Span | None:
        """One term, if it is there."""
        at = self._first(term)
        return (at, at + 1) if self._terms[at] == term else None


def _bounds(condition: Range | TimeRange) -> list[tuple[bool, Callable[[Any, Any], bool], Any]]:
    """The limits there are: whether it is a lower one, what a value has to be to it, and the limit."""
    bounds = (
        (True, gt, condition.gt),
        (True, ge, condition.gte),
        (False, lt, condition.lt),
        (False, le, condition.lte),
    )
    return [bound for bound in bounds if bound[2] is not None]


def _edges(condition: Range | TimeRange, near: Callable[[Any], tuple[Any, bytes]]) -> list[_Edge]:
    """The limits among terms; ``near`` gives the indexable value nearest to a limit, and its key."""
    edges = []
    for lower, meets, limit in _bounds(condition):
        nearest, key = near(limit)
        edges.append((lower, key, bool(meets(nearest, limit))))
    return edges


def _near_number(limit: float) -> tuple[float, bytes]:
    try:
        nearest = float(limit)
    except OverflowError:
        nearest = inf if limit > 0 else -inf
    return nearest, _key_bytes(_number_keys(np.array([nearest])))


def _near_string(limit: str) -> tuple[str, bytes]:
    return limit, _utf8(limit)


def _near_cut(limit: str) -> tuple[str, bytes]:
    return limit, _utf8(limit)[:_STRING_BYTES]


def _near_time(limit: datetime) -> tuple[datetime, bytes]:
    return limit, _key_bytes(_time_keys(np.array([instant_us(limit)], dtype=np.int64)))


def _value_key(value: Scalar) -> tuple[_Kind, bytes, bool]:
    """The term that equal values have, and whether all values that have it are equal."""
    if value is None:
        return _Kind.NULL, b"", True
    if isinstance(value, bool):
        return _Kind.TRUE if value else _Kind.FALSE, b"", True
    if isinstance(value, str):
        encoded = _utf8(value)
        exact = len(encoded) <= _STRING_BYTES
        return _Kind.STRING if exact else _Kind.CUT, encoded[:_STRING_BYTES], exact
    nearest, key = _near_number(value)
    exact = nearest == value
    return _Kind.NUMBER if exact else _Kind.ROUNDED, key, exact


def matching_rows(
    index: FilterIndex,
    condition: Filter,
    payload_of: Callable[[int], bytes],
    among: BoolArray | None = None,
) -> BoolArray:
    """The rows that meet a condition, exactly.

    Args:
        index: The segment's index.
        condition: The condition.
        payload_of: A row's payload; asked only where the index leaves the answer open.
        among: bool, shape (rows,). The rows to look at; None for all.

    Returns:
        bool, shape (rows,). False outside ``among``.

    Raises:
        CorruptData: The index is damaged.
    """
    sure, maybe = index.matching(condition)
    if among is not None:
        sure, maybe = sure & among, maybe & among
    test = payload_test(condition)
    for row in np.flatnonzero(maybe & ~sure).tolist():
        sure[row] = test(payload_of(row))
    return sure
