"""A shard against an oracle: any order of writes, maintenance, crashes and damage gives the oracle's answers.

The oracle is a dict of the live points, searched by brute force in float64. Vectors have few small values,
so that scores tie often; ids come from a small pool, so that points are overwritten and deleted often.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from storage import writer as writer_module
from storage.compaction import SegmentSize
from storage.reader import ShardReader
from storage.settings import StorageSettings
from storage.shard import ShardSpec, create_shard
from storage.writer import ShardWriter
from vectoray.core.filters import Eq, Filter, Not, Range
from vectoray.core.model import IndexOptions, Metric, PointBatch, SearchQuery

DIMENSION = 3
IDS = ["a", "b", "c", "d", "e", "f", "é", "e\u0301", "it's", "😀", "\x00", " "]
# Nothing happens but what a rule does.
SETTINGS = StorageSettings(seal_rows=1_000_000, flush_rows=1_000_000, flush_interval_s=86_400)


@dataclass(frozen=True)
class Stored:
    """What the oracle knows of a live point."""

    vector: tuple[int, ...]
    number: int
    text: str | None

    @property
    def payload(self) -> bytes:
        return b'{"n":%d}' % self.number


Test = Callable[[Stored], bool]
FILTERS: list[tuple[Filter | None, Test]] = [
    (None, lambda _: True),
    (Eq(("n",), 1), lambda point: point.number == 1),
    (Range(("n",), gte=2), lambda point: point.number >= 2),
    (Not(Eq(("n",), 0)), lambda point: point.number != 0),
    (Eq(("absent",), 0), lambda _: False),
]

vectors = st.tuples(*[st.integers(-2, 2)] * DIMENSION).filter(any)
points = st.tuples(
    st.sampled_from(IDS),
    st.builds(Stored, vectors, st.integers(0, 3), st.sampled_from([None, "", "text", "ünïcode"])),
)
batches = st.lists(points, min_size=1, max_size=5)


class ShardMachine(RuleBasedStateMachine):
    """One shard, its owner, a reader beside it, and the oracle."""

    def __init__(self) -> None:
        super().__init__()
        # Nothing happens by itself: a folder is copied as a crash would leave it, which takes a moment.
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(ShardWriter, "_merge_all", lambda _: None)
        self.root: Path | None = None
        self.oracle: dict[str, Stored] = {}
        self.copies = 0

    @initialize(
        metric=st.sampled_from(Metric),
        history=st.lists(st.tuples(batches, st.booleans(), st.booleans()), min_size=2, max_size=6),
    )
    def make(self, metric: Metric, history: list[tuple[list[tuple[str, Stored]], bool, bool]]) -> None:
        """Begin with some points in segments, table and tail: Hypothesis often leaves out whole rules."""
        self.metric = metric
        self.root = Path(tempfile.mkdtemp(prefix="vectoray-machine-"))
        self.directory = self.root / "shard-0"
        create_shard(self.directory, ShardSpec(DIMENSION, metric, IndexOptions()))
        self.open()
        for batch, seal, flush in history:
            self.upsert(batch)
            if seal:
                self.writer.seal()
            if flush:
                self.writer.flush()

    def open(self) -> None:
        self.writer = ShardWriter(self.directory, SETTINGS)
        self.reader = ShardReader(self.directory)

    def teardown(self) -> None:
        self.patched.undo()
        if self.root is None:
            return
        self.reader.close()
        self.writer.close(flush=False)
        shutil.rmtree(self.root)

    # What a caller does.

    @rule(batch=batches)
    def upsert(self, batch: list[tuple[str, Stored]]) -> None:
        written = PointBatch(
            ids=[point_id for point_id, _ in batch],
            vectors=np.array([point.vector for _, point in batch], dtype=np.float32),
            payloads=[point.payload for _, point in batch],
            texts=[point.text for _, point in batch],
        )
        assert self.writer.upsert(written).result(10).written == len(batch)
        self.oracle.update(batch)

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=4))
    def delete(self, ids: list[str]) -> None:
        expected = [point_id for point_id in dict.fromkeys(ids) if point_id in self.oracle]
        assert self.writer.delete(ids).result(10) == expected
        for point_id in expected:
            del self.oracle[point_id]

    @rule(
        vector=vectors,
        top_k=st.integers(1, 14),
        chosen=st.sampled_from(FILTERS),
        threshold=st.sampled_from([None, None, -1.0, 0.3, 0.5, 1.0]),
        include_vectors=st.booleans(),
    )
    def search(
        self,
        vector: tuple[int, ...],
        top_k: int,
        chosen: tuple[Filter | None, Test],
        threshold: float | None,
        include_vectors: bool,  # noqa: FBT001
    ) -> None:
        condition, test = chosen
        query = SearchQuery(
            np.array(vector, dtype=np.float32), top_k, condition, threshold, include_vectors=include_vectors
        )
        expected = self.brute_force(vector, top_k, test, threshold)
        for searched in (self.writer, self.reader):
            hits = searched.search(query).hits
            assert [(hit.id, np.float32(hit.score)) for hit in hits] == expected
            for hit in hits:
                point = self.oracle[hit.id]
                assert (hit.payload, hit.text) == (point.payload, point.text)
                assert (hit.vector is not None) == include_vectors
                assert hit.vector is None or tuple(hit.vector) == point.vector

    def brute_force(
        self, query: Sequence[int], top_k: int, test: Test, threshold: float | None
    ) -> list[tuple[str, np.float32]]:
        scored = [
            (score_of(self.metric, query, point.vector), point_id)
            for point_id, point in self.oracle.items()
            if test(point)
        ]
        kept = [(score, point_id) for score, point_id in scored if threshold is None or score >= threshold]
        kept.sort(key=lambda hit: (-hit[0], hit[1]))
        return [(point_id, score) for score, point_id in kept[:top_k]]

    # What its owner does.

    @rule()
    def seal(self) -> None:
        self.writer.seal()

    @rule(chosen=st.integers(1, 2**6 - 1))
    def merge(self, chosen: int) -> None:
        """Merge any of the segments, whatever their sizes."""

        def some_segments(sizes: list[SegmentSize], **_: Any) -> tuple[str, ...]:
            return tuple(size.name for at, size in enumerate(sizes) if chosen >> at % 6 & 1)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(writer_module, "plan", some_segments)
            self.writer.merge()

    @rule()
    def flush(self) -> None:
        self.writer.flush()
        place = self.directory / "table" / "points.lance"
        if not place.exists():
            # Nothing was ever written.
            assert self.oracle == {}
            return
        table = lance.dataset(str(place)).to_table()
        rows = zip(
            *[table[column].to_pylist() for column in ("id", "vector", "payload", "text")], strict=True
        )
        found = sorted((point_id, tuple(vector), payload, text) for point_id, vector, payload, text in rows)
        assert found == sorted(
            (point_id, point.vector, point.payload.decode(), point.text)
            for point_id, point in self.oracle.items()
        )

    # What befalls it.

    @rule(flush=st.booleans())
    def close_and_reopen(self, flush: bool) -> None:  # noqa: FBT001
        self.writer.close(flush=flush)
        surviving_reader = self.reader
        self.writer = ShardWriter(self.directory, SETTINGS)
        assert surviving_reader.count() == len(self.oracle)

    @rule(half_written=st.booleans())
    def crash(self, half_written: bool) -> None:  # noqa: FBT001
        """Go on with what the disk held at this moment, as after ``kill -9``."""
        self.copies += 1
        image = self.directory.with_name(f"shard-{self.copies}")
        shutil.copytree(self.directory, image)
        if half_written:
            (image / "log" / f".tmp-{10**9:020d}.arrow").write_bytes(b"half a batch")
            (image / "segments" / ".tmp-00000099").mkdir()
            (image / "segments" / ".tmp-00000099" / "rows.arrow").write_bytes(b"half a segment")
        self.reader.close()
        self.writer.close(flush=False)
        shutil.rmtree(self.directory)
        self.directory = image
        self.open()

    @rule(
        choice=st.integers(0, 10_000),
        at=st.floats(0, 1, exclude_max=True),
        damage=st.sampled_from(["flip", "cut", "remove"]),
    )
    def damage_a_derived_file(self, choice: int, at: float, damage: str) -> None:
        self.reader.close()
        self.writer.close(flush=False)
        derived = sorted(
            path
            for pattern in ("manifest-*.json", "segments/*/*", "dead/*")
            for path in self.directory.glob(pattern)
        )
        if derived:
            path = derived[choice % len(derived)]
            data = bytearray(path.read_bytes())
            # Under a new inode: hits that were returned may still map the old one.
            path.unlink()
            if damage == "flip":
                data[int(at * len(data))] ^= 0x10
            if damage != "remove":
                path.write_bytes(data[: int(at * len(data))] if damage == "cut" else data)
        self.open()

    # What always holds.

    @invariant()
    def writer_and_reader_rank_as_the_oracle_does(self) -> None:
        vector = (1, -1, 2)
        expected = self.brute_force(vector, 5, lambda _: True, None)
        for searched in (self.writer, self.reader):
            hits = searched.search(SearchQuery(np.array(vector, dtype=np.float32), 5))
            assert [(hit.id, np.float32(hit.score)) for hit in hits] == expected

    @invariant()
    def writer_and_reader_hold_what_the_oracle_holds(self) -> None:
        assert self.writer.stats().points == self.reader.count() == len(self.oracle)
        for point_id in IDS:
            expected = self.oracle.get(point_id)
            for found in (self.writer.get(point_id), self.reader.get(point_id)):
                if expected is None:
                    assert found is None
                    continue
                assert found is not None
                assert tuple(found.vector) == expected.vector
                assert (found.payload, found.text) == (expected.payload, expected.text)


def score_of(metric: Metric, query: Sequence[int], vector: Sequence[int]) -> np.float32:
    """The score by its definition in `Metric`, in float64, rounded once."""
    a, b = np.array(query, dtype=np.float64), np.array(vector, dtype=np.float64)
    if metric is Metric.EUCLIDEAN:
        return np.float32(1 / (1 + np.sqrt(((a - b) ** 2).sum())))
    if metric is Metric.COSINE:
        return np.float32(max(-1.0, min(1.0, a @ b / (np.sqrt(a @ a) * np.sqrt(b @ b)))))
    return np.float32(a @ b)


TestShardMachine = ShardMachine.TestCase
TestShardMachine.settings = settings(max_examples=settings().max_examples * 2 // 5)
