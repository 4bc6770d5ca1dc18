"""The filter index of a segment: one mapped file that says which rows meet a condition.

It is an inverted index: sorted terms (see `storage.filter_terms`), and for each term the rows that have it
(its postings), one term after the other, so that the rows of a run of terms are one slice.
`storage.filter_index_writer` writes it.

What would be dear to index exactly is left inexact, and the index says so: every answer is a lower and an
upper bound, the rows that match for sure and the rows that may match. The payloads of those in between
decide. The meaning of conditions is that of `storage.filters`.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.columns import numbers
from storage.filter_spans import Leaf, SortedTerms, Span, Spans, field_spans
from storage.filter_terms import FORMAT, SCHEMA, Rows, Section, path_term, source_term
from storage.filters import row_test
from vectoray.core.errors import CorruptData
from vectoray.core.filters import And, Filter, Not, Or, SourceIs

BoolArray: TypeAlias = npt.NDArray[np.bool_]


class FilterIndex:
    """The index of one segment, mapped. Any number of threads may ask at the same time."""

    def __init__(self, path: Path, rows: int) -> None:
        """Map the file that `filter_index_writer.write_filter_index` wrote.

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
                batch.schema.equals(SCHEMA)
                and metadata.get(b"format") == FORMAT
                and metadata.get(b"rows") == str(rows).encode()
            )
            if not fits:
                raise CorruptData("A filter index does not fit its segment.")
            self._terms = SortedTerms(batch["term"])
            self._starts = memoryview(batch["rows"].buffers()[1]).cast("q")[: len(self._terms) + 1]
            self._postings: Rows = numbers(batch["rows"].values, np.uint32)
            unread = self._terms.find(bytes((Section.UNREAD,)))
            unindexed = self._terms.find(bytes((Section.UNINDEXED,)))
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
            case SourceIs(source):
                return self._from_source(source)
            case _:
                return self._leaf(condition)

    def _from_source(self, source: str) -> tuple[BoolArray, BoolArray]:
        rows = np.zeros(self._rows, dtype=np.bool_)
        try:
            span = self._terms.find(source_term(source))
            self._mark(rows, [span] if span else [])
        except (IndexError, ValueError) as error:
            raise CorruptData("A filter index is damaged.") from error
        return rows, rows

    def _leaf(self, condition: Leaf) -> tuple[BoolArray, BoolArray]:
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

    def _mark(self, marked: BoolArray, spans: Iterable[Span]) -> None:
        """Set the rows of some runs of terms."""
        for first, last in spans:
            if first < last:
                marked[self._postings[self._starts[first] : self._starts[last]]] = True

    def _spans(self, condition: Leaf) -> Spans:
        field = self._terms.find(path_term(condition.path))
        if field is None:
            return [], [self._unindexed]
        return field_spans(self._terms, field[0], condition)


def matching_rows(
    index: FilterIndex,
    condition: Filter,
    payload_of: Callable[[int], bytes],
    source_of: Callable[[int], str | None],
    among: BoolArray | None = None,
) -> BoolArray:
    """The rows that meet a condition, exactly.

    Args:
        index: The segment's index.
        condition: The condition.
        payload_of: A row's payload; asked only where the index leaves the answer open.
        source_of: A row's source; as ``payload_of``.
        among: bool, shape (rows,). The rows to look at; None for all.

    Returns:
        bool, shape (rows,). False outside ``among``.

    Raises:
        CorruptData: The index is damaged.
    """
    sure, maybe = index.matching(condition)
    if among is not None:
        sure, maybe = sure & among, maybe & among
    test = row_test(condition)
    for row in np.flatnonzero(maybe & ~sure).tolist():
        sure[row] = test(payload_of(row), source_of(row))
    return sure
