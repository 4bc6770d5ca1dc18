"""BM25: scores equal those of plain arithmetic, wherever the rows lie and whoever writes meanwhile."""

import math
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.bm25 import TextPart, text_scores
from storage.text_index import TailText, TextIndex, tokens, write_text_index

WORDS = ["graph", "graphs", "search", "vector", "the", "数据库", "café", "node", "ray"]
TEXT = st.none() | st.lists(st.sampled_from(WORDS), max_size=10).map(" ".join)
QUERY = st.lists(st.sampled_from([*WORDS, "absent"]), max_size=5).map(" ".join)


def oracle(texts: Sequence[str | None], query: str) -> dict[int, float]:
    """The score of each row that has a term of the query, by the formula."""
    documents = [tokens(text or "") for text in texts]
    filled = [document for document in documents if document]
    scores: dict[int, float] = {}
    for term in tokens(query):
        df = sum(1 for document in filled if term in document)
        idf = math.log(1 + (len(filled) - df + 0.5) / (df + 0.5))
        for row, document in enumerate(documents):
            if term in document:
                tf = document.count(term)
                relative = len(document) / (sum(map(len, filled)) / len(filled))
                scores[row] = scores.get(row, 0.0) + idf * tf / (tf + 1.2 * (1 - 0.75 + 0.75 * relative))
    return scores


def tail_of(texts: Sequence[str | None]) -> TailText:
    tail = TailText(texts)
    tail.catch_up(len(texts))
    return tail


def index_of(path: Path, texts: Sequence[str | None]) -> TextIndex:
    write_text_index(path, texts)
    return TextIndex(path, len(texts))


BoolArray = npt.NDArray[np.bool_]


def search_text(
    parts: Sequence[tuple[TextPart, BoolArray]], query: str, k: int
) -> list[tuple[int, int, float]]:
    """Part, row and score of the best rows with a word of the query, of those that each mask allows."""
    scores = text_scores([(part, len(mask)) for part, mask in parts], query)
    hits = [
        (at, row, float(found[row]))
        for at, (found, (_, mask)) in enumerate(zip(scores, parts, strict=True))
        for row in np.flatnonzero((found > 0) & mask).tolist()
    ]
    return sorted(hits, key=lambda hit: (-hit[2], hit[0], hit[1]))[:k]


def everything(part: TextPart) -> tuple[TextPart, BoolArray]:
    return part, np.ones(len(part.lengths), dtype=np.bool_)


@given(st.lists(st.tuples(TEXT, st.booleans()), max_size=25), QUERY, st.integers(1, 30))
def test_scores_are_those_of_the_formula(rows: list[tuple[str | None, bool]], query: str, k: int) -> None:
    texts = [text for text, _ in rows]
    mask = np.array([allowed for _, allowed in rows], dtype=np.bool_)
    scores = {row: score for row, score in oracle(texts, query).items() if mask[row]}

    with tempfile.TemporaryDirectory() as directory:
        hits = search_text([(index_of(Path(directory) / "text.arrow", texts), mask)], query, k)

    assert len(hits) == min(k, len(scores))
    assert [score for _, _, score in hits] == pytest.approx(
        sorted(scores.values(), reverse=True)[:k], rel=0, abs=1e-9
    )
    for part, row, score in hits:
        assert part == 0
        assert score == pytest.approx(scores[row], rel=0, abs=1e-9)
    assert [(-score, row) for _, row, score in hits] == sorted((-score, row) for _, row, score in hits)


@given(
    st.lists(TEXT, min_size=1, max_size=20),
    QUERY,
    st.integers(1, 20),
    st.lists(st.integers(0, 20), max_size=4),
    st.integers(0, 2**20 - 1),
)
def test_hits_are_the_same_to_the_last_bit_however_the_rows_are_parted(
    texts: list[str | None], query: str, k: int, cuts: list[int], bits: int
) -> None:
    mask = np.array([bool(bits >> row & 1) for row in range(len(texts))])
    whole = search_text([(tail_of(texts), mask)], query, k)
    ends = sorted({min(cut, len(texts)) for cut in cuts} | {0, len(texts)})

    with tempfile.TemporaryDirectory() as directory:
        parts: list[tuple[TextPart, BoolArray]] = [
            (index_of(Path(directory) / str(start), texts[start:end]), mask[start:end])
            for start, end in pairwise(ends[:-1])
        ]
        parts.append((tail_of(texts[ends[-2] :]), mask[ends[-2] :]))
        parted = search_text(parts, query, k)

    assert [(ends[part] + row, score) for part, row, score in parted] == [
        (row, score) for _, row, score in whole
    ]


def test_nothing_is_found_without_parts_texts_or_terms() -> None:
    part = everything(tail_of(["some text", None]))

    assert search_text([], "text", 5) == []
    assert search_text([everything(tail_of([])), everything(tail_of([None, "", "the"]))], "the text", 5) == []
    assert search_text([part], "", 5) == []
    assert search_text([part], "To be, or not to be?", 5) == []
    assert search_text([part], "absent", 5) == []


def test_a_term_asked_for_twice_counts_twice() -> None:
    part = everything(tail_of(["apple", "pear", "apple pear plum"]))

    once = {row: score for _, row, score in search_text([part], "apple", 5)}
    mixed = {row: score for _, row, score in search_text([part], "apple pears apples", 5)}

    assert mixed[0] == pytest.approx(2 * once[0], rel=1e-12)
    assert mixed[0] > mixed[1]


def test_equal_scores_come_in_the_order_of_part_and_row() -> None:
    parts = [everything(tail_of(["other", *["same text"] * 6])) for _ in range(3)]

    hits = search_text(parts, "same", 8)

    assert [(part, row) for part, row, _ in hits] == [*((0, row) for row in range(1, 7)), (1, 1), (1, 2)]
    assert len({score for _, _, score in hits}) == 1
    assert [(part, row) for part, row, _ in search_text(parts, "same", 2)] == [(0, 1), (0, 2)]


def test_rows_outside_the_mask_are_not_returned_but_still_counted() -> None:
    tail = tail_of(["rare word", "rare", "word", "word"])
    mask = np.array([True, False, True, True])

    hits = search_text([(tail, mask)], "rare", 5)

    assert hits == [hit for hit in search_text([everything(tail)], "rare", 5) if hit[1] == 0]


@given(st.lists(TEXT, min_size=1, max_size=20), QUERY, st.integers(0, 20))
def test_rows_beyond_the_mask_do_not_exist(texts: list[str | None], query: str, rows: int) -> None:
    rows = min(rows, len(texts))

    grown = search_text([(tail_of(texts), np.ones(rows, dtype=np.bool_))], query, 20)

    assert grown == search_text([everything(tail_of(texts[:rows]))], query, 20)


class GrowsWhenRead:
    """A tail into which another thread writes after each look at it."""

    def __init__(self, texts: Sequence[str | None], rows: int) -> None:
        self._tail, self._rows = TailText(texts), rows
        self._tail.catch_up(rows)

    def _grow(self) -> None:
        self._rows += 1
        self._tail.catch_up(self._rows)

    @property
    def lengths(self) -> npt.NDArray[np.uint32]:
        value = self._tail.lengths
        self._grow()
        return value

    @property
    def documents(self) -> int:
        value = self._tail.documents
        self._grow()
        return value

    @property
    def total_tokens(self) -> int:
        value = self._tail.total_tokens
        self._grow()
        return value

    def postings(self, term: str) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        value = self._tail.postings(term)
        self._grow()
        return value


def test_a_tail_that_grows_during_the_search_changes_no_score() -> None:
    texts = ["one word", "word", *["word and more words"] * 8]

    grown = search_text([(GrowsWhenRead(texts, 2), np.ones(2, dtype=np.bool_))], "one word", 5)

    assert grown == search_text([everything(tail_of(texts[:2]))], "one word", 5)


@pytest.fixture
def threads_take_turns_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("threads_take_turns_often")
def test_searches_see_exactly_their_rows_while_other_threads_grow_the_tail() -> None:
    texts: list[str | None] = [f"{'common ' * (row % 3)}word{row % 5} row{row}" for row in range(600)]
    query = "common word2 words"
    sizes = [range(1 + thread, 601, 23) for thread in range(4)]
    expected = {rows: search_text([everything(tail_of(texts[:rows]))], query, 10) for rows in chain(*sizes)}
    tail = TailText(texts)
    start = threading.Barrier(4)

    def search(asked: range) -> list[int]:
        start.wait()
        wrong = []
        for rows in asked:
            tail.catch_up(rows)
            if search_text([(tail, np.ones(rows, dtype=np.bool_))], query, 10) != expected[rows]:
                wrong.append(rows)
        return wrong

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(search, sizes)) == [[], [], [], []]
