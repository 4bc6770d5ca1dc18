"""Finds the terms of a condition on one field among the sorted terms of a filter index, as runs of them.

Some runs hold rows that match for sure, others rows that only may: where the index keeps a value rounded or
cut, the term that equals the condition's may stand for other values, too. Which rows a term has is not known
here.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime
from math import inf, isnan
from operator import ge, gt, le, lt
from typing import Any, TypeAlias

import numpy as np

from storage.filter_terms import (
    STRING_BYTES,
    Kind,
    Section,
    group_start,
    key_bytes,
    number_keys,
    time_keys,
    utf8,
)
from storage.filters import instant_us
from vectoray.core.filters import Contains, Eq, Exists, In, Prefix, Range, Scalar, TimeRange

# Terms from the first up to, but without, the last.
Span: TypeAlias = tuple[int, int]
# Runs of terms whose rows match for sure, and runs whose rows may match.
Spans: TypeAlias = tuple[list[Span], list[Span]]
Leaf: TypeAlias = Eq | In | Range | TimeRange | Exists | Prefix | Contains
# An end of a range: whether it is the lower one, its key, and whether a term with that key is inside.
_Edge: TypeAlias = tuple[bool, bytes, bool]


class SortedTerms:
    """The sorted terms, as a sequence that makes each of them only when it is asked for."""

    def __init__(self, column: Any) -> None:
        """Wrap the column of the file.

        Args:
            column: A `pyarrow.Array` of ``large_binary``. It keeps its mapping alive.
        """
        _, offsets, data = column.buffers()
        self._offsets = memoryview(offsets).cast("q")[: len(column) + 1]
        self._data = memoryview(data)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, at: int) -> bytes:
        return bytes(self._data[self._offsets[at] : self._offsets[at + 1]])

    def find(self, term: bytes) -> Span | None:
        """One term, if it is there.

        Raises:
            IndexError: It would stand behind the last term, where none does in a whole file.
        """
        at = bisect_left(self, term)
        return (at, at + 1) if self[at] == term else None

    def group(self, start: bytes) -> Span:
        """The terms that begin so."""
        first = bisect_left(self, start)
        return first, bisect_right(self, start, first, key=lambda term: term[: len(start)])

    def between(self, group: bytes, edges: Sequence[_Edge], *, at_edge: bool | None = None) -> Span:
        """The group's terms inside all edges.

        Args:
            group: How the group's terms begin.
            edges: Lower and upper ones, in any order.
            at_edge: Whether a term right at an edge is inside; None for what the edge says itself.
        """
        first, last = self.group(group)
        for lower, key, met in edges:
            inside = met if at_edge is None else at_edge
            # To the left of the equal term, or to its right.
            place = bisect_left if inside == lower else bisect_right
            at = place(self, group + key)
            first, last = (max(first, at), last) if lower else (first, min(last, at))
        return first, last


def field_spans(terms: SortedTerms, field: int, condition: Leaf) -> Spans:  # noqa: PLR0911  (one branch a class)
    """The terms that meet a condition.

    Args:
        terms: Those of the index.
        field: The number of the condition's field.
        condition: The condition.

    Raises:
        IndexError, ValueError: The terms are damaged.
    """
    match condition:
        case Exists():
            return [(field, field + 1)], []
        case Eq(_, value):
            return _equal(terms, Section.VALUE, field, (value,))
        case In(_, values):
            return _equal(terms, Section.VALUE, field, values)
        case Contains(_, value):
            sure, maybe = _equal(terms, Section.ELEMENT, field, (value,))
            return sure, [*maybe, terms.group(group_start(Section.ELEMENT, field, Kind.HUGE))]
        case Range():
            return _range(terms, field, condition)
        case TimeRange():
            group = group_start(Section.VALUE, field, Kind.TIME)
            return [terms.between(group, _edges(condition, _near_time))], []
        case Prefix(_, prefix):
            return _prefixed(terms, field, utf8(prefix))


def _equal(terms: SortedTerms, section: Section, field: int, values: Sequence[Scalar]) -> Spans:
    sure: list[Span] = []
    maybe: list[Span] = []
    for value in values:
        kind, key, exact = _value_key(value)
        span = terms.find(group_start(section, field, kind) + key)
        if span is not None:
            (sure if exact else maybe).append(span)
    return sure, maybe


def _range(terms: SortedTerms, field: int, condition: Range) -> Spans:
    limits = [limit for _, _, limit in _bounds(condition)]
    if any(isinstance(limit, float) and isnan(limit) for limit in limits):
        return [], []
    sure, maybe = [], []
    of_text = [isinstance(limit, str) for limit in limits]
    # Without a limit, numbers and strings are all inside.
    if not any(of_text):
        number, rounded = (group_start(Section.VALUE, field, kind) for kind in (Kind.NUMBER, Kind.ROUNDED))
        edges = _edges(condition, _near_number)
        sure += [terms.between(number, edges), terms.between(rounded, edges, at_edge=False)]
        maybe += [terms.between(rounded, edges, at_edge=True)]
    if all(of_text):
        string, cut = (group_start(Section.VALUE, field, kind) for kind in (Kind.STRING, Kind.CUT))
        sure += [terms.between(string, _edges(condition, _near_string))]
        edges = _edges(condition, _near_cut)
        sure += [terms.between(cut, edges, at_edge=False)]
        maybe += [terms.between(cut, edges, at_edge=True)]
    return sure, maybe


def _prefixed(terms: SortedTerms, field: int, prefix: bytes) -> Spans:
    sure = [terms.group(group_start(Section.VALUE, field, Kind.STRING) + prefix)]
    cut = terms.group(group_start(Section.VALUE, field, Kind.CUT) + prefix[:STRING_BYTES])
    return (sure, [cut]) if len(prefix) > STRING_BYTES else ([*sure, cut], [])


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
    return nearest, key_bytes(number_keys(np.array([nearest])))


def _near_string(limit: str) -> tuple[str, bytes]:
    return limit, utf8(limit)


def _near_cut(limit: str) -> tuple[str, bytes]:
    return limit, utf8(limit)[:STRING_BYTES]


def _near_time(limit: datetime) -> tuple[datetime, bytes]:
    return limit, key_bytes(time_keys(np.array([instant_us(limit)], dtype=np.int64)))


def _value_key(value: Scalar) -> tuple[Kind, bytes, bool]:
    """The term that equal values have, and whether all values that have it are equal."""
    if value is None:
        return Kind.NULL, b"", True
    if isinstance(value, bool):
        return Kind.TRUE if value else Kind.FALSE, b"", True
    if isinstance(value, str):
        encoded = utf8(value)
        exact = len(encoded) <= STRING_BYTES
        return Kind.STRING if exact else Kind.CUT, encoded[:STRING_BYTES], exact
    nearest, key = _near_number(value)
    exact = nearest == value
    return Kind.NUMBER if exact else Kind.ROUNDED, key, exact
