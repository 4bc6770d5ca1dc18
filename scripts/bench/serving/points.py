"""What is loaded into every system, and what is asked of it: real text, its vectors, and payloads."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import orjson

from scripts.bench.corpus import Corpus, load_corpus, point_id
from scripts.bench.recall import kth_scores, recall
from vectoray.core.model import FloatMatrix

TOP_K = 10
# A filter on `group` leaves every tenth point.
GROUPS = 10
_REAL = 80_700
_LANGUAGES = ("en", "de", "fr", "es", "ja")
# Of people's questions, few are longer.
_SHORT_TEXT_CHARS = 100


@dataclass(frozen=True)
class Points:
    """The points that are stored, those that are written later, and queries that are neither.

    Attributes:
        corpus: Its first ``stored`` vectors are loaded; the other real ones are there to be written.
        stored: How many every system holds.
    """

    corpus: Corpus
    stored: int

    @property
    def vectors(self) -> FloatMatrix:
        """float32, shape (stored, 384), unit length: what every system holds."""
        return self.corpus.vectors[: self.stored]

    @property
    def queries(self) -> FloatMatrix:
        """float32, shape (2000, 384), unit length: real text, not stored."""
        return self.corpus.queries

    @property
    def unused(self) -> range:
        """Rows of real text that are not stored."""
        return range(self.stored, _REAL)

    def payload(self, row: int) -> dict[str, str | int | float]:
        """What a point carries: values that every system can store, a paragraph of text among them."""
        return {
            "passage": self._text(row),
            "file": self.corpus.files[self.corpus.sources[row]],
            "position": row,
            "lang": _LANGUAGES[row % len(_LANGUAGES)],
            # Short: not every system reads all digits of a long one as they were written.
            "share": round(float(self.corpus.shares[row]), 6),
            "group": row % GROUPS,
        }

    def rows_of(self, found: Iterable[tuple[str, object]]) -> list[int]:
        """Rows of hits.

        Args:
            found: The id and the payload of each hit.

        Raises:
            ValueError: A payload is not the one that was stored.
        """
        rows = []
        for identifier, payload in found:
            row = int(identifier.removeprefix("doc-"))
            if payload != self.payload(row):
                raise ValueError(f"the payload of {identifier} is not what was stored")
            rows.append(row)
        return rows

    @cached_property
    def exact(self) -> npt.NDArray[np.float64]:
        """The score of each query's tenth best point, exactly."""
        return kth_scores(self.vectors, self.queries, TOP_K)

    def recall(self, answers: list[list[int]]) -> float:
        """Recall@10 of answers to the first queries."""
        asked = len(answers)
        return recall(answers, self.vectors, self.queries[:asked], self.exact[:asked], k=TOP_K)

    def recall_in_groups(self, answers: list[list[int]]) -> float:
        """Recall@10 of answers to the first queries, where query n asked for the points of group n % 10."""
        found = []
        for group in range(min(GROUPS, len(answers))):
            matching = np.arange(group, self.stored, GROUPS)
            queries = self.queries[group : len(answers) : GROUPS]
            kth = kth_scores(self.vectors, queries, TOP_K, rows=matching)
            given = answers[group::GROUPS]
            found.append(recall(given, self.vectors, queries, kth, k=TOP_K, matching=matching) * len(given))
        return sum(found) / len(answers)

    def short_texts(self) -> tuple[list[str], FloatMatrix]:
        """Distinct texts of a question's length that are not stored, and their vectors, in random order."""
        rows = [row for row in self.unused if len(self._text(row)) <= _SHORT_TEXT_CHARS]
        rows = [int(row) for row in np.random.default_rng(7).permutation(rows)]
        return [self._text(row) for row in rows], np.asarray(self.corpus.vectors[rows])

    def recall_of_texts(self, answers: list[list[int]], vectors: FloatMatrix) -> float:
        """Recall@10 of answers to texts whose vectors are these."""
        asked = vectors[: len(answers)]
        return recall(answers, self.vectors, asked, kth_scores(self.vectors, asked, TOP_K), k=TOP_K)

    def _text(self, row: int) -> str:
        text: str = self.corpus.texts[self.corpus.sources[row]]
        return text


def load_points(stored: int) -> Points:
    """The points; embedded the first time, which takes minutes, then read from the cache.

    Raises:
        SystemExit: There is no real text; the message says how to get some.
    """
    corpus = load_corpus(_REAL)
    # In memory: orjson does not write mapped arrays.
    return Points(replace(corpus, vectors=np.array(corpus.vectors[:_REAL])), stored)


def insert_body(points: Points, rows: range, *, prefix: str = "") -> bytes:
    """Some points as the Vectorizer API takes them."""
    return orjson.dumps(
        {
            "vectors": [
                {
                    "id": prefix + point_id(row),
                    "vector": points.corpus.vectors[row],
                    "payload": points.payload(row),
                }
                for row in rows
            ]
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
