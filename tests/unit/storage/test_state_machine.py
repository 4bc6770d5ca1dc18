"""A shard against an oracle: any order of writes, maintenance, crashes and damage gives the oracle's answers.

The oracle holds the live points and is searched by brute force in float64. Vectors have few small values,
so that scores tie often; ids come from a small pool, so that points are overwritten and deleted often.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lance
import numpy as np
import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from storage import adoption, changes, merging, segment, segment_files
from storage.bulk import write_fragment
from storage.compaction import SegmentSize
from storage.reader import ShardReader
from storage.settings import StorageSettings
from storage.shard import ShardSpec, create_shard
from storage.writer import ShardWriter
from tests.unit.storage.durable_image import DurableImage
from tests.unit.storage.hybrid_oracle import Live, assert_hybrid_as_brute_force
from tests.unit.storage.oracle import (
    DeleteIds,
    DeleteWhere,
    Operation,
    Oracle,
    Row,
    Test,
    WriteRows,
    created_ms,
    outcome,
    points_of,
    table_points,
)
from vectoray.core.filters import And, Contains, Eq, Exists, Filter, In, Not, Or, Prefix, Range, SourceIs
from vectoray.core.hybrid import Fusion, HybridQuery, ReciprocalRank, Weighted
from vectoray.core.model import IndexOptions, Metric, SearchQuery, WriteMode

pytestmark = pytest.mark.slow

NIGHTLY = settings.get_current_profile_name() == "nightly"
DIMENSION = 3
IDS = ["a", "b", "c", "d", "e", "f", "é", "e\u0301", "it's", "😀", "\x00", " "]
# Nothing happens but what a rule does.
SETTINGS = StorageSettings(seal_rows=1_000_000, flush_rows=1_000_000, flush_interval_s=86_400)

vectors = st.tuples(*[st.integers(-2, 2).map(float)] * DIMENSION).filter(any)
payloads = st.sampled_from(
    [
        b"{}",
        b'{"n":0}',
        b'{"n":1,"tag":"red"}',
        b'{"n":2,"tag":"reddish","list":[1,"x"]}',
        b'{"n":3,"tag":"blue","list":[]}',
        b'{"n":null,"list":["x"]}',
        b'{"n":"1","deep":{"n":1}}',
        b'{"n":true,"deep":{"n":2}}',
    ]
)
rows = st.builds(
    Row,
    vectors,
    payloads,
    st.sampled_from([None, "", "text", "ünïcode"]),
    st.sampled_from([None, None, "", "a.md", "é/b.md"]),
    st.sampled_from([None, None, 0, 1, 2**31 - 1]),
)
batches = st.lists(st.tuples(st.sampled_from(IDS), rows), min_size=1, max_size=5)
Batch = list[tuple[str, Row]]

# Rules that ran, over all examples, by name.
STEPS: Counter[str] = Counter()

# A condition, and what it means, said a second time.
Meaning = tuple[Filter, Test]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(found: Any, value: Any) -> bool:
    """Equality of JSON: numbers by value, and true is no number."""
    return (is_number(found) and is_number(value) and found == value) or (
        type(found) is type(value) and found == value
    )


def _equal(value: Any) -> Meaning:
    return Eq(("n",), value), lambda payload, _: "n" in payload and _same(payload["n"], value)


def _one_of(values: list[Any]) -> Meaning:
    def test(payload: Mapping[str, Any], _: str | None) -> bool:
        return "n" in payload and any(_same(payload["n"], value) for value in values)

    return In(("n",), tuple(values)), test


def _between(low: float, high: float) -> Meaning:
    def test(payload: Mapping[str, Any], _: str | None) -> bool:
        return is_number(payload.get("n")) and low <= payload["n"] < high

    return Range(("n",), gte=low, lt=high), test


def _exists(name: str) -> Meaning:
    return Exists((name,)), lambda payload, _: name in payload


def _prefix(prefix: str) -> Meaning:
    return Prefix(("tag",), prefix), lambda payload, _: "tag" in payload and payload["tag"].startswith(prefix)


def _contains(value: Any) -> Meaning:
    def test(payload: Mapping[str, Any], _: str | None) -> bool:
        return any(_same(found, value) for found in payload.get("list", []))

    return Contains(("list",), value), test


def _deep(value: int) -> Meaning:
    return Eq(("deep", "n"), value), lambda payload, _: payload.get("deep", {}).get("n") == value


def _from(source: str) -> Meaning:
    return SourceIs(source), lambda _, given: given == source


def _all(parts: list[Meaning]) -> Meaning:
    return And(tuple(part for part, _ in parts)), lambda *row: all(test(*row) for _, test in parts)


def _any(parts: list[Meaning]) -> Meaning:
    return Or(tuple(part for part, _ in parts)), lambda *row: any(test(*row) for _, test in parts)


def _not(part: Meaning) -> Meaning:
    return Not(part[0]), lambda *row: not part[1](*row)


values = st.sampled_from([0, 1, 1.0, 2, True, None, "1", "x"])
leaves = st.one_of(
    values.map(_equal),
    st.lists(values, max_size=3).map(_one_of),
    st.builds(_between, st.integers(0, 2), st.sampled_from([1, 2.5, 4])),
    st.sampled_from(["n", "tag", "list", "absent"]).map(_exists),
    st.sampled_from(["", "red", "reddish", "-"]).map(_prefix),
    values.map(_contains),
    st.integers(0, 2).map(_deep),
    st.sampled_from(["", "a.md", "é/b.md", "absent"]).map(_from),
)
conditions = st.recursive(
    leaves,
    lambda parts: st.one_of(
        st.lists(parts, max_size=3).map(_all), st.lists(parts, max_size=3).map(_any), parts.map(_not)
    ),
    max_leaves=5,
)
# Half of the searches have none.
filters: "st.SearchStrategy[tuple[Filter | None, Test]]" = st.one_of(
    st.just((None, lambda *_: True)), conditions
)


class ShardMachine(RuleBasedStateMachine):
    """One shard, its owner, a reader beside it, and the oracle."""

    def __init__(self) -> None:
        super().__init__()
        # Nothing happens by itself: a folder is copied as a crash would leave it, which takes a moment.
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(ShardWriter, "_merge_all", lambda *_, **__: None)
        # Graphs of a few rows, and searches that use them.
        self.patched.setattr(segment_files, "GRAPH_MIN_ROWS", 3)
        self.patched.setattr(segment, "_CANDIDATE_COST", 0.001)
        # It is later with each operation, and the oracle knows what time it is.
        for module in (changes, adoption):
            self.patched.setattr(module, "time_ns", self.now_ns)
        self.root: Path | None = None
        self.oracle = Oracle()
        self.parts = 0
        self.watching = ExitStack()

    @initialize(
        metric=st.sampled_from(Metric),
        history=st.lists(st.tuples(batches, st.booleans(), st.booleans()), min_size=2, max_size=6),
    )
    def make(self, metric: Metric, history: list[tuple[Batch, bool, bool]]) -> None:
        """Begin with some points in segments, table and tail: Hypothesis often leaves out whole rules."""
        self.metric = metric
        self.root = Path(tempfile.mkdtemp(prefix="vectoray-machine-"))
        (self.root / "disk-0").mkdir()
        self.live_on(self.root / "disk-0")
        create_shard(self.directory, ShardSpec(DIMENSION, metric, IndexOptions()))
        self.open()
        for batch, seal, flush in history:
            self.upsert(batch)
            if seal:
                self.writer.seal()
            if flush:
                self.writer.flush()

    def live_on(self, disk: Path) -> None:
        """Go on with the shard on another disk, on which everything is durable."""
        self.watching.close()
        vault = disk.with_name(f"{disk.name}-vault")
        vault.mkdir()
        self.image = DurableImage(disk, vault)
        self.watching.callback(self.image.close)
        self.watching.enter_context(self.image.watching(lambda _: None))
        self.directory = disk / "shard"

    def close(self) -> None:
        self.reader.close()
        self.writer.close(flush=False)

    def open(self) -> None:
        self.writer = ShardWriter(self.directory, SETTINGS)
        self.reader = ShardReader(self.directory)

    def teardown(self) -> None:
        self.patched.undo()
        if self.root is None:
            return
        self.close()
        self.watching.close()
        shutil.rmtree(self.root)

    def now_ns(self) -> int:
        return self.oracle.now_ms * 1_000_000

    def count(self, rule_name: str) -> None:
        STEPS[str(rule_name)] += 1

    # What a caller does.

    def carry_out(self, operation: Operation) -> None:
        self.oracle.now_ms += 1
        expected = self.oracle.apply(operation)
        assert outcome(operation, operation.submit(self.writer).result(10)) == expected

    @rule(batch=batches)
    def upsert(self, batch: Batch) -> None:
        self.count("upsert")
        self.carry_out(WriteRows([name for name, _ in batch], [row for _, row in batch]))

    @rule(batch=batches, mode=st.sampled_from([WriteMode.INSERT, WriteMode.UPDATE]), atomic=st.booleans())
    def insert_or_update(self, batch: Batch, mode: WriteMode, atomic: bool) -> None:  # noqa: FBT001
        self.count(mode)
        self.carry_out(WriteRows([name for name, _ in batch], [row for _, row in batch], mode, atomic))

    @rule(
        batch=batches,
        mode=st.sampled_from(WriteMode),
        atomic=st.booleans(),
        errors=st.lists(st.sampled_from([0, 0, 0, 1, -1]), min_size=5, max_size=5),
    )
    def write_if_unchanged(
        self,
        batch: Batch,
        mode: WriteMode,
        atomic: bool,  # noqa: FBT001
        errors: list[int],
    ) -> None:
        """Expect the numbers that the points have, or others."""
        self.count("write_if_unchanged")
        ids = [name for name, _ in batch]
        seqs = [self.oracle.points[name].seq if name in self.oracle.points else 0 for name in ids]
        expected = [max(0, seq + error) for seq, error in zip(seqs, errors, strict=False)]
        self.carry_out(WriteRows(ids, [row for _, row in batch], mode, atomic, expected))

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=4))
    def delete(self, ids: list[str]) -> None:
        self.count("delete")
        self.carry_out(DeleteIds(ids))

    @rule(chosen=conditions)
    def delete_matching(self, chosen: Meaning) -> None:
        self.count("delete_matching")
        self.carry_out(DeleteWhere(*chosen))

    @rule(
        vector=vectors,
        top_k=st.integers(1, 14),
        chosen=filters,
        threshold=st.sampled_from([None, None, -1.0, 0.3, 0.5, 1.0]),
        include_vectors=st.booleans(),
    )
    def search(
        self,
        vector: tuple[float, ...],
        top_k: int,
        chosen: tuple[Filter | None, Test],
        threshold: float | None,
        include_vectors: bool,  # noqa: FBT001
    ) -> None:
        self.count("search")
        condition, test = chosen
        query = SearchQuery(
            np.array(vector, dtype=np.float32), top_k, condition, threshold, include_vectors=include_vectors
        )
        expected = self.oracle.search(self.metric, vector, top_k, test=test, threshold=threshold)
        for searched in (self.writer, self.reader):
            hits = searched.search(query).hits
            assert [(hit.id, np.float32(hit.score)) for hit in hits] == expected
            for hit in hits:
                row = self.oracle.points[hit.id].row
                assert (hit.payload, hit.text) == (row.payload, row.text)
                assert (hit.vector is not None) == include_vectors
                assert hit.vector is None or tuple(hit.vector) == row.vector

    @rule(
        vector=st.one_of(st.none(), vectors),
        text=st.sampled_from(["text", "unicode text", "absent", ""]),
        top_k=st.integers(1, 14),
        chosen=filters,
        fusion=st.sampled_from([Weighted(), Weighted(0.0, 1.0), ReciprocalRank()]),
    )
    def search_hybrid(
        self,
        vector: tuple[float, ...] | None,
        text: str,
        top_k: int,
        chosen: tuple[Filter | None, Test],
        fusion: Fusion,
    ) -> None:
        self.count("search_hybrid")
        condition, test = chosen
        query = HybridQuery(
            None if vector is None else np.array(vector, dtype=np.float32),
            text,
            top_k,
            condition,
            include_vectors=top_k % 2 == 0,
            fusion=fusion,
        )
        points = {
            name: Live(
                np.array(point.row.vector, dtype=np.float32),
                point.row.text,
                point.row.payload,
                point.row.source,
            )
            for name, point in self.oracle.points.items()
        }
        for searched in (self.writer, self.reader):
            assert_hybrid_as_brute_force(
                searched,
                points,
                query,
                self.metric,
                lambda point: test(orjson.loads(point.payload), point.source),
            )

    @rule(fragments=st.lists(batches, min_size=1, max_size=3))
    def bulk_load(self, fragments: list[Batch]) -> None:
        """Load a part that comes in several fragments; of an id in several of them, the last counts."""
        self.count("bulk_load")
        self.parts += 1
        self.oracle.now_ms += 1
        paths = []
        for fragment in fragments:
            # Of an id twice in a fragment, the last row counts, in its place.
            rows = {name: (at, row) for at, (name, row) in enumerate(fragment)}
            kept = sorted(rows, key=lambda name: rows[name][0])
            write = WriteRows([name for name, _ in fragment], [row for _, row in fragment])
            paths.append(write_fragment(self.directory, "job", str(self.parts), write.batch))
            self.oracle.apply(WriteRows(kept, [rows[name][1] for name in kept]))
        for fresh in (True, False):
            assert self.writer.commit_fragments("job", str(self.parts), paths) is fresh

    # What its owner does.

    @rule()
    def go_on_with_a_copy_of_what_is_held(self) -> None:
        """As a snapshot is taken: the files named during a hold are the whole shard, but for the table."""
        self.count("go_on_with_a_copy_of_what_is_held")
        copy = self.next_disk() / "shard"
        with self.writer.hold() as paths:
            for path in paths:
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.directory / path, copy / path)
        self.close()
        self.live_on(self.next_disk())
        self.open()
        # As a restore does: until then there is nothing to rebuild a damaged segment from.
        self.writer.flush()

    @rule()
    def seal(self) -> None:
        self.count("seal")
        self.writer.seal()

    @rule(chosen=st.integers(1, 2**6 - 1))
    def merge(self, chosen: int) -> None:
        """Merge any of the segments, whatever their sizes."""
        self.count("merge")

        def some_segments(sizes: list[SegmentSize], **_: Any) -> tuple[str, ...]:
            return tuple(size.name for at, size in enumerate(sizes) if chosen >> at % 6 & 1)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(merging, "plan", some_segments)
            self.writer.merge()

    @rule()
    def flush(self) -> None:
        self.count("flush")
        self.writer.flush()
        place = self.directory / "table" / "points.lance"
        if not place.exists():
            # Nothing was ever written.
            assert self.oracle.points == {}
            return
        held = table_points(lance.dataset(str(place)).to_table())
        assert held == self.oracle.points
        assert created_ms(held) == created_ms(self.oracle.points)

    # What befalls it.

    @rule(flush=st.booleans())
    def close_and_reopen(self, flush: bool) -> None:  # noqa: FBT001
        self.count("close_and_reopen")
        self.writer.close(flush=flush)
        surviving_reader = self.reader
        self.writer = ShardWriter(self.directory, SETTINGS)
        assert surviving_reader.count() == len(self.oracle.points)

    @rule(seed=st.integers(0, 2**32 - 1))
    def lose_power(self, seed: int) -> None:
        """Go on with what the disk may still hold after a loss of power."""
        self.count("lose_power")
        self.close()
        self.image.write_survivor(self.next_disk(), np.random.default_rng(seed))
        self.live_on(self.next_disk())
        self.open()

    @rule(half_written=st.booleans())
    def crash(self, half_written: bool) -> None:  # noqa: FBT001
        """Go on with what the disk held at this moment, as after ``kill -9``."""
        self.count("crash")
        image = self.next_disk() / "shard"
        shutil.copytree(self.directory, image)
        if half_written:
            (image / "log" / f".tmp-{10**9:020d}.arrow").write_bytes(b"half a batch")
            (image / "segments" / ".tmp-00000099").mkdir()
            (image / "segments" / ".tmp-00000099" / "rows.arrow").write_bytes(b"half a segment")
        self.close()
        self.live_on(self.next_disk())
        self.open()

    def next_disk(self) -> Path:
        """Where the shard will live next: the same until it does."""
        disk = self.image.root
        return disk.with_name(f"disk-{int(disk.name.removeprefix('disk-')) + 1}")

    @rule(
        choice=st.integers(0, 10_000),
        at=st.floats(0, 1, exclude_max=True),
        damage=st.sampled_from(["flip", "cut", "remove"]),
    )
    def damage_a_derived_file(self, choice: int, at: float, damage: str) -> None:
        self.count("damage_a_derived_file")
        if self.writer._owned.manifest.adopted:
            # Until then, what was loaded in bulk is nowhere else.
            self.writer.flush()
        self.close()
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
        vector = (1.0, -1.0, 2.0)
        expected = self.oracle.search(self.metric, vector, 5, test=lambda *_: True, threshold=None)
        for searched in (self.writer, self.reader):
            hits = searched.search(SearchQuery(np.array(vector, dtype=np.float32), 5))
            assert [(hit.id, np.float32(hit.score)) for hit in hits] == expected

    @invariant()
    def writer_and_reader_hold_what_the_oracle_holds(self) -> None:
        assert self.writer.stats().points == self.reader.count() == len(self.oracle.points)
        for searched in (self.writer, self.reader):
            held = points_of(searched, DIMENSION)
            assert held == self.oracle.points
            assert created_ms(held) == created_ms(self.oracle.points)
            assert all(searched.get(name) is None for name in IDS if name not in self.oracle.points)


@pytest.mark.timeout(7200 if NIGHTLY else 120)
def test_a_shard_does_what_the_oracle_does() -> None:
    run_state_machine_as_test(ShardMachine, settings=settings(max_examples=900 if NIGHTLY else 45))
    # What `make` and the invariants do is not counted.
    print(f"\n{STEPS.total()} steps: {dict(STEPS.most_common())}")  # noqa: T201  (the nightly run's report)
    assert STEPS.total() >= (50_000 if NIGHTLY else 1_000)
