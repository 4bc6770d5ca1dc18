"""The points of the benchmarks: real text and more like it, with payloads, and real queries held out of them.

Deterministic, and cached in ``.bench``: a shard of n points holds the first n, real ones first.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from scripts.bench.text_like import compare, more_like
from scripts.bench.text_vectors import CACHE, text_vectors
from vectoray.core.filters import Eq, Filter, Range
from vectoray.core.model import FloatMatrix, PointBatch

QUERIES = 2000
_REAL = 82_700
_SEED = 11
_VECTORS, _SOURCES, _QUERIES = "points.npy", "points-sources.npy", "points-queries.npy"
_COMPARISON = "points-comparison.json"
_LANGUAGES = ("en", "de", "fr", "es", "ja")
_TAGS = ("howto", "reference", "api", "release", "internals", "faq", "tutorial")
_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Points, and queries that are not among them.

    Attributes:
        vectors: float32, shape (n, 384), unit length, mapped.
        queries: float32, shape (2000, 384), unit length: real text, no point's vector.
        sources: int32, shape (n,). For each point, the chunk whose text and file it carries.
        shares: float64, shape (n,), uniform in [0, 1): what filters of a known selectivity ask for.
    """

    vectors: FloatMatrix
    queries: FloatMatrix
    sources: npt.NDArray[np.int32]
    shares: npt.NDArray[np.float64]
    texts: list[str]
    files: list[str]

    def batch(self, start: int, stop: int) -> PointBatch:
        """Some points, as a caller would send them."""
        rows = range(start, stop)
        return PointBatch(
            ids=[point_id(row) for row in rows],
            vectors=np.ascontiguousarray(self.vectors[start:stop]),
            payloads=[self.payload(row) for row in rows],
            texts=[self.texts[self.sources[row]] for row in rows],
        )

    def payload(self, row: int) -> bytes:
        """What a point carries: strings, numbers, an array, a time."""
        return orjson.dumps(
            {
                "file": self.files[self.sources[row]],
                "folder": self.folder(row),
                "position": row,
                "lang": _LANGUAGES[row % len(_LANGUAGES)],
                "share": self.shares[row],
                "tags": [_TAGS[row % len(_TAGS)], _TAGS[row // 7 % len(_TAGS)]],
                "written_at": (_BEGIN + timedelta(minutes=row)).isoformat(),
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )

    def folder(self, row: int) -> str:
        """The first folder of the point's file: points of one folder lie near each other."""
        file: str = self.files[self.sources[row]]
        return file.rpartition("/")[0].partition("/")[0]


def point_id(row: int) -> str:
    """The id of the point in this row."""
    return f"doc-{row:09d}"


def row_of(identifier: str) -> int:
    """The row of the point with this id."""
    return int(identifier.removeprefix("doc-"))


def of_share(low: float, high: float) -> Filter:
    """A filter that leaves this part of the points, chosen independently of their vectors."""
    return Range(("share",), gte=low, lt=high)


def of_folder(name: str) -> Filter:
    """A filter that leaves the points of a folder."""
    return Eq(("folder",), name)


def load_corpus(rows: int, cache: Path = CACHE) -> Corpus:
    """At least this many points; made the first time, then read from the cache.

    Raises:
        SystemExit: There is no real text; the message says how to get some.
    """
    text = text_vectors(_REAL)
    if not (cache / _VECTORS).exists() or len(np.load(cache / _VECTORS, mmap_mode="r")) < rows:
        _make(text.vectors, rows, cache)
    sources = np.load(cache / _SOURCES)
    return Corpus(
        vectors=np.load(cache / _VECTORS, mmap_mode="r"),
        queries=np.load(cache / _QUERIES),
        sources=sources,
        shares=np.random.default_rng(_SEED).random(len(sources)),
        texts=text.texts,
        files=text.files,
    )


def comparison(cache: Path = CACHE) -> dict[str, Any]:
    """How the made vectors compare with the real ones, as JSON values."""
    found: dict[str, Any] = json.loads((cache / _COMPARISON).read_text())
    return found


def _make(real: FloatMatrix, rows: int, cache: Path) -> None:
    order = np.random.default_rng(_SEED).permutation(len(real)).astype(np.int32)
    held_out, kept = order[:QUERIES], order[QUERIES:]
    made, sources = more_like(real[kept], max(0, rows - len(kept)), seed=_SEED)
    if not (cache / _COMPARISON).exists():
        measured = compare(real[kept], real[held_out], seed=_SEED)
        print(f"Real text:            {measured.real}\nHalf of it, doubled:  {measured.doubled}")
        print(f"Made ones among the ten nearest: {measured.share:.2f} (0.50 if alike)")
        (cache / _COMPARISON).write_text(json.dumps(asdict(measured)))
    np.save(cache / _QUERIES, real[held_out])
    np.save(cache / _SOURCES, np.concatenate([kept, kept[sources]]))
    np.save(cache / _VECTORS, np.concatenate([real[kept], made]))
