"""Segments on disk: every column comes back, ids are found, nothing damaged or lossy is used."""

import errno
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from storage import files, graph, segment, segment_files
from storage.graph import GraphQuery
from storage.records import hash_id, hash_ids
from storage.rows import SegmentRows, concatenate
from storage.scoring import exact_scores, norms
from storage.segment import Segment, Wanted
from storage.segment_files import write_segment
from tests.unit.storage.conftest import clustered
from vectoray.core.errors import CorruptData
from vectoray.core.model import FloatMatrix, IndexKind, IndexOptions, Metric

ALIVE = np.uint64(2**64 - 1)


def rows_of(
    ids: Sequence[str],
    vectors: FloatMatrix,
    payloads: Sequence[bytes] | None = None,
    texts: Sequence[str | None] | None = None,
    sources: Sequence[str | None] | None = None,
) -> SegmentRows:
    n = len(ids)
    return SegmentRows(
        ids=ids,
        seqs=np.arange(2**63, 2**63 + n, dtype=np.uint64),
        updated_ms=np.arange(n, dtype=np.int64) - 5,
        vectors=vectors,
        payloads=payloads or [b"{}"] * n,
        texts=texts or [None] * n,
        sources=sources or [None] * n,
        chunk_indexes=np.arange(-1, n - 1, dtype=np.int32),
        created_ms=np.arange(n, dtype=np.int64) - 9,
    )


def built(
    directory: Path, rows: SegmentRows, *, metric: Metric = Metric.COSINE, options: IndexOptions | None = None
) -> Segment:
    write_segment(directory, rows, metric=metric, options=options or IndexOptions(), with_graph=True)
    return opened_again(directory, metric)


def opened_again(directory: Path, metric: Metric = Metric.COSINE, *, verify: bool = True) -> Segment:
    return Segment(directory, metric, IndexOptions(), verify=verify)


def row_of(opened: Segment, point_id: str) -> int | None:
    return opened.row_of(point_id, alive(len(opened)), 0)


def search(
    opened: Segment, query: Any, k: int, *, killed_at: npt.NDArray[np.uint64], seq: int
) -> npt.NDArray[np.int64]:
    return opened.candidates(Wanted(GraphQuery(opened.metric, query), k, seq), killed_at, None).rows


def alive(rows: int) -> npt.NDArray[np.uint64]:
    return np.full(rows, ALIVE, dtype=np.uint64)


UNICODE_IDS = ["plain", "é", "e\u0301", "😀", "line\nbreak", "\x00", "it's; DROP", " ", "a" * 512]
PAYLOADS = [
    b"{}",
    b'{"a":1}',
    b"",
    b'{"deep":{"x":[1,null]}}',
    "{'ü'}".encode(),
    b"\x00",
    b"{}",
    b"[]",
    b"x" * 9,
]
TEXTS = [None, "", "text", None, "ünïcode 😀", "\x00", None, "a\nb", "long " * 500]


def test_every_column_comes_back_as_it_was_given(tmp_path: Path) -> None:
    given = rows_of(UNICODE_IDS, clustered(9), PAYLOADS, TEXTS, TEXTS[::-1])

    opened = built(tmp_path / "s", given)

    assert len(opened) == 9
    assert [opened.id(row) for row in range(9)] == UNICODE_IDS
    assert [opened.payloads[row] for row in range(9)] == PAYLOADS
    assert [opened.text(row) for row in range(9)] == TEXTS
    assert [opened.source(row) for row in range(9)] == TEXTS[::-1]
    assert opened.vectors.dtype == np.float32
    assert np.array_equal(opened.vectors, given.vectors)
    assert np.array_equal(opened.lengths, norms(given.vectors))
    assert np.array_equal(opened.seqs, given.seqs)
    assert np.array_equal(opened.updated_ms, given.updated_ms)
    assert np.array_equal(opened.created_ms, given.created_ms)
    assert np.array_equal(opened.chunk_indexes, given.chunk_indexes)


def test_taken_rows_are_those_asked_for_in_every_column(tmp_path: Path) -> None:
    given = rows_of(UNICODE_IDS, clustered(9), PAYLOADS, TEXTS, TEXTS[::-1])
    rows = np.array([8, 0, 3])
    taken = built(tmp_path / "s", given).take(rows)
    assert taken.ids == [UNICODE_IDS[row] for row in rows]
    assert taken.payloads == [PAYLOADS[row] for row in rows]
    assert taken.texts == [TEXTS[row] for row in rows]
    assert taken.sources == [TEXTS[::-1][row] for row in rows]
    assert np.array_equal(taken.vectors, given.vectors[rows])
    assert np.array_equal(taken.seqs, given.seqs[rows])
    assert np.array_equal(taken.updated_ms, given.updated_ms[rows])
    assert np.array_equal(taken.created_ms, given.created_ms[rows])
    assert np.array_equal(taken.chunk_indexes, given.chunk_indexes[rows])
    assert len(built(tmp_path / "t", given).take(np.array([], dtype=np.int64))) == 0


def test_concatenated_parts_follow_one_another_in_every_column() -> None:
    whole = rows_of(UNICODE_IDS, clustered(9), PAYLOADS, TEXTS, TEXTS[::-1])

    def part(rows: slice) -> SegmentRows:
        return SegmentRows(
            whole.ids[rows],
            whole.seqs[rows],
            whole.updated_ms[rows],
            whole.vectors[rows],
            whole.payloads[rows],
            whole.texts[rows],
            whole.sources[rows],
            whole.chunk_indexes[rows],
            whole.created_ms[rows],
        )

    joined = concatenate([part(slice(0, 2)), part(slice(2, 2)), part(slice(2, 9))])
    for column in (each.name for each in fields(SegmentRows)):
        assert list(map(str, getattr(joined, column))) == list(map(str, getattr(whole, column))), column


def test_ids_are_found_by_all_of_their_characters(tmp_path: Path) -> None:
    opened = built(tmp_path / "s", rows_of(UNICODE_IDS, clustered(9)))
    assert [row_of(opened, point_id) for point_id in UNICODE_IDS] == list(range(9))
    for absent in ("", "plai", "plain ", "É", "😁", "a" * 511):
        assert row_of(opened, absent) is None


@pytest.mark.parametrize("kinds", [1, 3])
def test_ids_whose_hashes_collide_are_still_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: int
) -> None:
    def weak_hash(point_id: str) -> int:
        return 2**64 - 1 - len(point_id) % kinds

    monkeypatch.setattr(segment, "hash_id", weak_hash)
    monkeypatch.setattr(
        segment_files, "hash_ids", lambda ids: np.array([weak_hash(one) for one in ids], np.uint64)
    )
    names = [f"{'x' * (row % 4)}{row}" for row in range(40)]
    opened = built(tmp_path / "s", rows_of(names, clustered(40)))
    assert [row_of(opened, name) for name in names] == list(range(40))
    assert row_of(opened, "absent") is None


def test_one_hash_and_many_hashes_are_the_same_function() -> None:
    assert hash_ids(UNICODE_IDS).tolist() == [hash_id(point_id) for point_id in UNICODE_IDS]


ALL_FILES = [
    "filters.arrow",
    "graph.usearch",
    "ids.arrow",
    "rows.arrow",
    "segment.json",
    "text.arrow",
    "twins.arrow",
    "vectors.npy",
    "writes.arrow",
]


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize("name", ALL_FILES)
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
def test_a_damaged_file_is_noticed_when_the_segment_is_opened(tmp_path: Path, name: str, damage: str) -> None:
    built(tmp_path / "s", rows_of([str(row) for row in range(100)], clustered(100)))
    path = tmp_path / "s" / name
    data = path.read_bytes()
    path.unlink()
    if damage == "flip":
        path.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
    elif damage != "missing":
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"")
    with pytest.raises(CorruptData):
        opened_again(tmp_path / "s")


def test_a_folder_that_is_not_there_is_a_damaged_segment(tmp_path: Path) -> None:
    with pytest.raises(CorruptData):
        opened_again(tmp_path / "absent")


def test_a_segment_of_another_format_is_refused(tmp_path: Path) -> None:
    built(tmp_path / "s", rows_of(["a"], clustered(1)))
    description = files.read_json(tmp_path / "s" / "segment.json")
    files.write_json_durable(tmp_path / "s" / "segment.json", {**description, "format": 4})
    with pytest.raises(CorruptData, match="format"):
        opened_again(tmp_path / "s")


@pytest.mark.parametrize("function", ["fsync", "rename"])
def test_a_segment_that_could_not_be_built_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    rows = rows_of(["a"], clustered(1))
    with monkeypatch.context() as patched:
        patched.setattr(os, function, fail)
        with pytest.raises(OSError, match="No space"):
            built(tmp_path / "s", rows)
    assert list(tmp_path.iterdir()) == []
    assert len(built(tmp_path / "s", rows)) == 1


def exact_best(metric: Metric, query: Any, vectors: FloatMatrix, k: int) -> set[int]:
    return set(np.argsort(-exact_scores(metric, query, vectors), kind="stable")[:k].tolist())


@pytest.mark.parametrize("metric", list(Metric))
def test_a_graph_that_cannot_find_its_own_rows_is_refused_and_the_segment_is_searched_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: Metric
) -> None:
    vectors = clustered(1300)
    rows = rows_of([str(row) for row in range(1300)], vectors)
    assert (tmp_path / built(tmp_path / "good", rows, metric=metric).name / "graph.usearch").exists()
    whole: Any = vars(graph)["Index"].add

    def add_most(index: Any, keys: Any, vectors: Any, **options: Any) -> Any:
        """Drops a tenth of the rows, as concurrent additions to usearch may."""
        kept = len(keys) * 9 // 10
        return whole(index, keys[:kept], vectors[:kept], **options)

    monkeypatch.setattr("storage.graph.Index.add", add_most)

    opened = built(tmp_path / "refused", rows, metric=metric)

    assert sorted(path.name for path in (tmp_path / "refused").iterdir()) == [
        name for name in ALL_FILES if name not in {"graph.usearch", "twins.arrow"}
    ]
    for query in clustered(20, seed=9):
        found = search(opened, query, 10, killed_at=alive(1300), seq=1)
        assert exact_best(metric, query, vectors, 10) <= set(found.tolist())


@pytest.mark.parametrize(
    ("rows", "kind", "has_graph"),
    [
        (1023, IndexKind.HNSW, False),
        (1024, IndexKind.HNSW, True),
        (1024, IndexKind.IVFFLAT, True),
        (1024, IndexKind.FLAT, False),
    ],
)
def test_a_graph_is_built_only_where_it_pays(
    tmp_path: Path,
    rows: int,
    kind: IndexKind,
    has_graph: bool,  # noqa: FBT001
) -> None:
    built(
        tmp_path / "s",
        rows_of([str(row) for row in range(rows)], clustered(rows)),
        options=IndexOptions(kind),
    )
    assert (tmp_path / "s" / "graph.usearch").exists() == has_graph


def test_a_search_finds_k_rows_however_few_are_alive(tmp_path: Path) -> None:
    vectors = clustered(2000)
    opened = built(tmp_path / "s", rows_of([str(row) for row in range(2000)], vectors))
    random = np.random.default_rng(1)
    for living in (0, 1, 9, 10, 50, 1000, 2000):
        killed_at = np.full(2000, 5, dtype=np.uint64)
        killed_at[random.choice(2000, living, replace=False)] = ALIVE
        found = search(opened, vectors[0], 10, killed_at=killed_at, seq=5)
        assert (killed_at[found] == ALIVE).all()
        assert len(set(found.tolist())) == len(found) >= min(10, living)
        # Just before the fifth write all rows were alive.
        assert len(search(opened, vectors[0], 10, killed_at=killed_at, seq=4)) >= 10
