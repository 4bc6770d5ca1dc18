"""The words of a shard's texts: how a text becomes terms, and which rows hold each term.

A segment's index is one mapped Arrow file, read in place: opening it makes no Python object per term or row.
The rows not yet sealed have theirs in memory. Knows nothing of scores; those are in ``storage.bm25``.
"""

import re
import threading
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import Stemmer

from storage.columns import numbers
from vectoray.core.errors import CorruptData

_MAX_TOKEN_CHARS = 64
_APOSTROPHES = "'\u2019"
# In kana these tell one sound from another, as different letters do; they are no accents.
_VOICING_MARKS = "\u3099\u309a"
# Scripts that put no spaces between words, or (Hangul) not where a search wants them: Thai, Lao, Myanmar,
# Khmer, kana, Han, Hangul.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+"
)
# Those of Lucene's EnglishAnalyzer.
_ENGLISH = """
    a an and are as at be but by for if in into is it no not of on or such that the their then there these
    they this to was will with
"""
_STOP_WORDS = frozenset(_ENGLISH.split())
_stemmer = Stemmer.Stemmer("english", 0)
# One stemmer must not be used by two threads at once.
_stemming = threading.Lock()


class _Characters(dict[int, str | None]):
    """For `str.translate`: what is part of a word stays, all else becomes space. It fills as it is asked."""

    def __missing__(self, code: int) -> str | None:
        char = chr(code)
        category = unicodedata.category(char)
        kept: str | None
        if char in _APOSTROPHES:
            kept = "'"
        elif char == "\u200b":  # "zero width space" is a format character by category only
            kept = " "
        elif char in _VOICING_MARKS:
            kept = char
        elif (
            # Soft hyphens and joiners, enclosing marks, accents. Marks without a class are vowels in the
            # scripts of South Asia, except those that choose a glyph's variant.
            category in {"Cf", "Me"}
            or unicodedata.combining(char)
            or "VARIATION SELECTOR" in unicodedata.name(char, "")
        ):
            kept = None
        else:
            kept = char if category[0] in "LMN" else " "
        self[code] = kept
        return kept


_characters = _Characters()


def tokens(text: str) -> list[str]:
    """The terms of a text, in its order; a query becomes terms in the same way.

    Words are runs of Unicode letters, marks and digits, with the apostrophes inside them. They are casefolded
    and lose their accents (NFKD, marks dropped); English stop words are left out, and what remains is reduced
    to its stem by Snowball's English rules (Porter 2001), which leave words of other scripts as they are.

    Chinese, Japanese, Korean and other scripts whose words a space does not end become overlapping pairs of
    characters, as in Lucene's CJKAnalyzer. Pairs need no dictionary and find every word of two characters or
    more; a single character is found only where it stands alone.

    Changing what this returns makes every index on disk wrong: it needs a new format of segments.
    """
    return [term for word in _words(text) if (term := _term(word[:_MAX_TOKEN_CHARS]))]


def _words(text: str) -> list[str]:
    if text.isascii():
        return text.lower().translate(_characters).split()
    # In this order: to decompose can bring forth capitals, but to fold case nothing to be decomposed.
    folded = unicodedata.normalize("NFKD", text).casefold()
    # Composed again, for Hangul's and kana's sake: a pair should be of syllables.
    plain = unicodedata.normalize("NFC", folded.translate(_characters))
    return _UNSPACED.sub(_pairs, plain).split()


def _pairs(match: re.Match[str]) -> str:
    run = match[0]
    return f" {' '.join(run[at : at + 2] for at in range(max(1, len(run) - 1)))} "


@lru_cache(maxsize=1 << 15)
def _term(word: str) -> str:
    """What is indexed of a word: empty for stop words."""
    bare = word.strip("'").removesuffix("'s")
    if not bare or bare in _STOP_WORDS:
        return ""
    with _stemming:
        stem: str = _stemmer.stemWord(bare)
    return stem


class TextIndex:
    """A segment's inverted index, mapped.

    Attributes:
        lengths: uint32, shape (rows,). Terms in each row's text; 0 without one.
        documents: Rows with at least one term.
        total_tokens: Sum of the lengths.
        terms: Arrow strings, sorted, each in at least one row.
        starts: int64, shape (terms + 1,). Where each term's postings begin, and where the last ones end.
        rows: uint32, shape (postings,). Rows of each term, sorted within the term.
        frequencies: uint32, shape (postings,). How often the term is in the row.
    """

    def __init__(self, path: Path, rows: int) -> None:
        """Map an index.

        Args:
            path: What `write_text_index` or `merge_text_indexes` wrote.
            rows: Rows of the segment.

        Raises:
            CorruptData: The file is missing or damaged, or is of another number of rows.
        """
        try:
            record = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
            record.validate()
            self.terms: Any = record["terms"].values
            self.lengths: npt.NDArray[np.uint32] = numbers(record["lengths"].values, np.uint32)
            self.starts: npt.NDArray[np.int64] = numbers(record["starts"].values, np.int64)
            self.rows: npt.NDArray[np.uint32] = numbers(record["rows"].values, np.uint32)
            self.frequencies: npt.NDArray[np.uint32] = numbers(record["frequencies"].values, np.uint32)
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            raise CorruptData("A segment's text index cannot be read.") from error
        if (
            len(self.lengths) != rows
            or len(self.starts) != len(self.terms) + 1
            or not int(self.starts[-1]) == len(self.rows) == len(self.frequencies)
        ):
            raise CorruptData("A segment's text index does not fit the segment.")
        self.documents = int(np.count_nonzero(self.lengths))
        self.total_tokens = int(self.lengths.sum(dtype=np.int64))

    def postings(self, term: str) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """The rows with a term, sorted, and how often it is in each: uint32, shape (rows with it,) both."""
        low, high = 0, len(self.terms)
        while low < high:
            middle = (low + high) // 2
            if self.terms[middle].as_py() < term:
                low = middle + 1
            else:
                high = middle
        if low == len(self.terms) or self.terms[low].as_py() != term:
            return self.rows[:0], self.frequencies[:0]
        found = slice(int(self.starts[low]), int(self.starts[low + 1]))
        return self.rows[found], self.frequencies[found]


def write_text_index(path: Path, texts: Sequence[str | None]) -> None:
    """Index the texts of a segment's rows. The file is not synced.

    Args:
        path: The file to make.
        texts: One for each row.

    Raises:
        OSError: The file may be there in part.
    """
    # Words become numbers as they come, and each different word a term once.
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    occurrences = array("I")
    ends = np.zeros(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        occurrences.extend(map(numbers.__getitem__, _words(text) if text else ()))
        ends[row] = len(occurrences)
    terms = [_term(word[:_MAX_TOKEN_CHARS]) for word in numbers]
    vocabulary = sorted(set(terms) - {""})
    ranks = {term: rank for rank, term in enumerate(vocabulary)}
    rank_of_word = np.fromiter((ranks.get(term, -1) for term in terms), np.int64, len(terms))
    occurring = rank_of_word[np.frombuffer(occurrences, dtype=np.uint32)]
    rows = np.repeat(np.arange(len(texts)), np.diff(ends, prepend=0))[occurring >= 0]
    # Term and row in one number: sorted, equal ones are a term's occurrences in a row.
    keys = (occurring[occurring >= 0] << 32 | rows).astype(np.uint64)
    keys.sort()
    firsts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    postings = keys[firsts]
    _write(
        path,
        lengths=np.bincount(rows, minlength=len(texts)).astype(np.uint32),
        terms=pa.array(vocabulary, pa.large_string()),
        starts=np.searchsorted(postings >> np.uint64(32), np.arange(len(vocabulary) + 1, dtype=np.uint64)),
        rows=postings.astype(np.uint32),  # the lower half
        frequencies=np.diff(firsts, append=len(keys)).astype(np.uint32),
    )


def merge_text_indexes(path: Path, parts: Sequence[tuple[TextIndex, npt.NDArray[np.int64]]]) -> None:
    """Write the index of rows taken from several segments, as if it were built anew from their texts.

    No text is read again. The file is not synced.

    Args:
        path: The file to make.
        parts: At least one index, and those of its rows (int64, sorted) that go into the new segment, which
            has them in this order.

    Raises:
        OSError: The file may be there in part.
    """
    encoded = pa.concat_arrays([part.terms for part, _ in parts]).dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    ends = np.cumsum([len(part.terms) for part, _ in parts])
    terms_of = np.split(ranks[encoded.indices.to_numpy()], ends[:-1])
    moved = list(_moved(parts))
    counts = np.zeros(len(order), dtype=np.int64)
    for terms, (_, _, kept) in zip(terms_of, moved, strict=True):
        counts[terms] += kept
    starts = np.concatenate([[0], np.cumsum(counts)])
    rows = np.empty(starts[-1], dtype=np.uint32)
    frequencies = np.empty(starts[-1], dtype=np.uint32)
    # Each part's postings of a term go behind those of the parts before it: its rows come later as well.
    free = starts[:-1].copy()
    for terms, (new_rows, new_frequencies, kept) in zip(terms_of, moved, strict=True):
        places = np.repeat(free[terms] - (np.cumsum(kept) - kept), kept) + np.arange(len(new_rows))
        rows[places], frequencies[places] = new_rows, new_frequencies
        free[terms] += kept
    present = np.flatnonzero(counts)
    _write(
        path,
        lengths=np.concatenate([part.lengths[taken] for part, taken in parts]),
        terms=encoded.dictionary.take(pa.array(order[present])),
        starts=np.append(starts[present], starts[-1]),
        rows=rows,
        frequencies=frequencies,
    )


def _moved(
    parts: Sequence[tuple[TextIndex, npt.NDArray[np.int64]]],
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.int64]]]:
    """Of each part, the postings that are kept, under their new row numbers, and how many each term has."""
    first = 0
    for part, taken in parts:
        new_row = np.full(len(part.lengths), -1, dtype=np.int64)
        new_row[taken] = np.arange(first, first + len(taken))
        first += len(taken)
        rows = new_row[part.rows]
        keep = rows >= 0
        kept_before = np.concatenate([[0], np.cumsum(keep)])
        yield rows[keep], part.frequencies[keep], np.diff(kept_before[part.starts])


def _write(
    path: Path,
    *,
    lengths: npt.NDArray[np.uint32],
    terms: Any,
    starts: npt.NDArray[np.int64],
    rows: npt.NDArray[np.uint32],
    frequencies: npt.NDArray[np.uint32],
) -> None:
    """One record of five lists: columns of an Arrow table must be equally long, lists need not be."""
    columns = {
        "lengths": pa.array(lengths),
        "terms": terms,
        "starts": pa.array(starts),
        "rows": pa.array(rows),
        "frequencies": pa.array(frequencies),
    }
    record = pa.record_batch(
        {
            name: pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values)
            for name, values in columns.items()
        }
    )
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, record.schema) as writer:
        writer.write_batch(record)


class TailText:
    """The inverted index of rows not yet sealed; searching threads index what was written since.

    Readers take no lock: what a thread reads after `catch_up` covers at least the rows it asked for. If it
    covers later ones as well, their postings and lengths come at the end, and the lengths that are read after
    the totals are never behind them.

    Attributes:
        lengths: uint32, shape (rows indexed,). Terms in each row's text; 0 without one.
        documents: Rows with at least one term.
        total_tokens: Sum of the lengths.
    """

    def __init__(self, texts: Sequence[str | None]) -> None:
        """An index of no rows yet.

        Args:
            texts: The tail's texts. It may grow, at its end only.
        """
        self._texts = texts
        self._catching_up = threading.Lock()
        # Of each term, its postings in the order of the rows: row << 32 | frequency.
        self._postings: dict[str, array[int]] = {}
        self._room = np.zeros(256, dtype=np.uint32)
        # Set last of all: who finds its rows counted here may read the rest without the lock.
        self._indexed = 0
        self.lengths: npt.NDArray[np.uint32] = self._room[:0]
        self.documents = 0
        self.total_tokens = 0

    def catch_up(self, rows: int) -> None:
        """Index the first ``rows`` texts, as far as they are not yet."""
        if rows <= self._indexed:
            return
        with self._catching_up:
            first = self._indexed
            if rows <= first:  # by the thread that had the lock
                return
            if rows > len(self._room):
                # A new array: others may be reading the old one.
                room = np.zeros(max(rows, 2 * len(self._room)), dtype=np.uint32)
                room[:first] = self.lengths
                self._room = room
            for row in range(first, rows):
                self._room[row] = self._add(row, self._texts[row])
            added = self._room[first:rows]
            self.lengths = self._room[:rows]
            self.documents += int(np.count_nonzero(added))
            self.total_tokens += int(added.sum(dtype=np.int64))
            self._indexed = rows

    def _add(self, row: int, text: str | None) -> int:
        terms = tokens(text) if text else []
        for term, frequency in Counter(terms).items():
            posting = row << 32 | frequency
            known = self._postings.get(term)
            if known is None:
                self._postings[term] = array("Q", [posting])
            elif known[-1] < posting:  # else it is there, from a catching up that was cut short
                known.append(posting)
        return len(terms)

    def postings(self, term: str) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """The rows with a term, sorted, and how often it is in each: uint32, shape (rows with it,) both."""
        known = self._postings.get(term)
        # A copy, made in one step: a view would keep the array from growing.
        postings = np.frombuffer(b"" if known is None else known.tobytes(), dtype=np.uint64)
        return (postings >> np.uint64(32)).astype(np.uint32), postings.astype(np.uint32)
