"""What a shard must hold and answer after each operation: a model of its own, without the storage's code.

Tests of crashes, of power loss and the state machine compare a shard with it: points with their values and
sequence numbers, results of writes, and searches by brute force in float64. It knows no files.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import orjson

from storage.writer import ShardWriter
from vectoray.core.filters import Filter
from vectoray.core.model import Metric, Point, PointBatch, SearchQuery, SearchResult, WriteMode, WriteResult

# What a filter means, said a second time: a test of the parsed payload and the source.
Test = Callable[[Mapping[str, Any], str | None], bool]

_EVERYTHING = 1_000_000
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Row:
    """The values of a point, as a caller writes them."""

    vector: tuple[float, ...]
    payload: bytes
    text: str | None
    source: str | None = None
    chunk_index: int | None = None


@dataclass(frozen=True, slots=True)
class Live:
    """A live point, and the number of the write that made it.

    Attributes:
        created_ms: When its id was made; only for tests that say what time it is, see `created_ms`.
    """

    row: Row
    seq: int
    created_ms: int = field(default=0, compare=False)


def created_ms(points: Mapping[str, Live]) -> dict[str, int]:
    """When each id was made."""
    return {name: live.created_ms for name, live in points.items()}


def _column(values: "list[_Value | None]") -> "list[_Value | None] | None":
    """Values as a caller gives them: nothing at all if no row has one."""
    return None if all(value is None for value in values) else values


@dataclass(frozen=True, slots=True)
class WriteRows:
    """An operation: write points, as `ShardWriter.write` takes them."""

    ids: Sequence[str]
    rows: Sequence[Row]
    mode: WriteMode = WriteMode.UPSERT
    atomic: bool = True
    expected_seqs: Sequence[int] | None = None

    @property
    def batch(self) -> PointBatch:
        return PointBatch(
            ids=self.ids,
            vectors=np.array([row.vector for row in self.rows], dtype=np.float32),
            payloads=[row.payload for row in self.rows],
            texts=[row.text for row in self.rows],
            sources=_column([row.source for row in self.rows]),
            chunk_indexes=_column([row.chunk_index for row in self.rows]),
        )

    def submit(self, writer: ShardWriter) -> "Future[WriteResult]":
        expected = None if self.expected_seqs is None else np.array(self.expected_seqs, dtype=np.uint64)
        return writer.write(self.batch, self.mode, atomic=self.atomic, expected_seqs=expected)


@dataclass(frozen=True, slots=True)
class DeleteIds:
    """An operation: delete points by id."""

    ids: Sequence[str]

    def submit(self, writer: ShardWriter) -> "Future[list[str]]":
        return writer.delete(self.ids)


@dataclass(frozen=True, slots=True)
class DeleteWhere:
    """An operation: delete the points that meet a condition."""

    condition: Filter
    test: Test = field(repr=False, compare=False)

    def submit(self, writer: ShardWriter) -> "Future[list[str]]":
        return writer.delete_matching(self.condition)


Operation = WriteRows | DeleteIds | DeleteWhere


@dataclass
class Oracle:
    """The live points of a shard, the number of its last write, and the time."""

    points: dict[str, Live] = field(default_factory=dict)
    seq: int = 0
    now_ms: int = 0

    def copy(self) -> "Oracle":
        return Oracle(dict(self.points), self.seq, self.now_ms)

    def apply(self, operation: Operation) -> WriteResult | list[str]:
        """Carry an operation out. Returns what its caller must be told; ids of a condition are sorted."""
        if isinstance(operation, WriteRows):
            return self._write(operation)
        if isinstance(operation, DeleteIds):
            return self._delete(operation.ids)
        return self._delete(self.matching(operation.test))

    def matching(self, test: Test) -> list[str]:
        """Ids of the points that pass the test, sorted."""
        return sorted(
            name
            for name, live in self.points.items()
            if test(orjson.loads(live.row.payload), live.row.source)
        )

    def _write(self, write: WriteRows) -> WriteResult:
        refused = []
        accepted: set[str] = set()
        for position, name in enumerate(write.ids):
            there = name in accepted or name in self.points
            allowed = {WriteMode.UPSERT: True, WriteMode.INSERT: not there, WriteMode.UPDATE: there}
            # A row before it in the batch has a number that no caller can have expected.
            seq = -1 if name in accepted else self.points[name].seq if there else 0
            expected = seq if write.expected_seqs is None else write.expected_seqs[position]
            if allowed[write.mode] and seq == expected:
                accepted.add(name)
            else:
                refused.append(position)
        if refused and write.atomic:
            return WriteResult(0, tuple(refused))
        for position, (name, row) in enumerate(zip(write.ids, write.rows, strict=True)):
            if position not in refused:
                self.seq += 1
                created = self.points[name].created_ms if name in self.points else self.now_ms
                self.points[name] = Live(row, self.seq, created)
        return WriteResult(len(write.ids) - len(refused), tuple(refused))

    def _delete(self, ids: Sequence[str]) -> list[str]:
        existing = [name for name in dict.fromkeys(ids) if name in self.points]
        for name in existing:
            del self.points[name]
        self.seq += len(existing)
        return existing

    def search(
        self, metric: Metric, query: Sequence[float], top_k: int, *, test: Test, threshold: float | None
    ) -> list[tuple[str, np.float32]]:
        """Ids and scores of the best points that pass the test: best first, ties by id."""
        names = self.matching(test)
        if not names:
            return []
        scores = brute_force(metric, query, [self.points[name].row.vector for name in names])
        ranked = sorted(zip(scores.tolist(), names, strict=True), key=lambda hit: (-hit[0], hit[1]))
        kept = [
            (name, np.float32(score)) for score, name in ranked if threshold is None or score >= threshold
        ]
        return kept[:top_k]


def brute_force(metric: Metric, query: Sequence[float], vectors: Sequence[Sequence[float]]) -> Any:
    """Scores by their definition in `Metric`: computed in float64, rounded once to float32, shape (n,)."""
    a, b = np.array(query, dtype=np.float64), np.array(vectors, dtype=np.float64)
    if metric is Metric.EUCLIDEAN:
        return (1 / (1 + np.sqrt(((a - b) ** 2).sum(axis=1)))).astype(np.float32)
    if metric is Metric.DOT:
        return (b @ a).astype(np.float32)
    lengths = np.sqrt(a @ a) * np.sqrt((b * b).sum(axis=1))
    return np.clip(b @ a / lengths, -1.0, 1.0).astype(np.float32)


def outcome(operation: Operation, result: WriteResult | list[str]) -> WriteResult | list[str]:
    """A shard's answer in the form of `Oracle.apply`: the order of ids that met a condition is free."""
    return sorted(result) if isinstance(operation, DeleteWhere) and isinstance(result, list) else result


class Searched(Protocol):
    """A writer or a reader of a shard."""

    def search(self, query: SearchQuery) -> SearchResult: ...

    def get(self, point_id: str) -> Point | None: ...


def points_of(searched: Searched, dimension: int) -> dict[str, Live]:
    """Every live point by search, compared with what `get` says of it. No id may come twice."""
    query = SearchQuery(np.ones(dimension, dtype=np.float32), top_k=_EVERYTHING, include_vectors=True)
    found: dict[str, Live] = {}
    for hit in searched.search(query):
        assert hit.id not in found, "an id is there twice"
        assert hit.vector is not None
        point = searched.get(hit.id)
        assert point is not None, "a search finds what is not there"
        row = Row(tuple(point.vector.tolist()), point.payload, point.text, point.source, point.chunk_index)
        assert (tuple(hit.vector.tolist()), hit.payload, hit.text) == (row.vector, row.payload, row.text)
        found[hit.id] = Live(row, point.seq, point.created_ms)
    return found


def table_points(table: Any) -> dict[str, Live]:
    """What a shard's LanceDB table holds, read as Arrow. No id may come twice."""
    found: dict[str, Live] = {}
    for row in table.to_pylist():
        assert row["id"] not in found, "an id is in the table twice"
        values = Row(
            tuple(row["vector"]), row["payload"].encode(), row["text"], row["source"], row["chunk_index"]
        )
        found[row["id"]] = Live(values, row["seq"], row["created_ms"])
    return found
