"""Listings of a shard: the same from the tail and from segments, whatever is written meanwhile."""

from itertools import pairwise

import numpy as np
import pytest

from storage import changes, listing
from storage.head import Head
from storage.records import hash_id
from storage.writer import ShardWriter
from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from vectoray.core.filters import Eq
from vectoray.core.model import PointBatch


@pytest.fixture
def clock_ms(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time at which writes are made, in a list of one."""
    now_ms = [1000]
    monkeypatch.setattr(changes, "time_ns", lambda: now_ms[0] * 1_000_000)
    return now_ms


def write(writer: ShardWriter, ids: list[str], *, payload: bytes = b"{}", seed: int = 0) -> None:
    writer.write(batch_of(ids, clustered(len(ids), seed=seed), payload)).result()


def filled(writer: ShardWriter, clock_ms: list[int], *, seals: int) -> None:
    """Points of three times, some overwritten and some deleted; sealed after each of the first writes."""
    steps = [("a", ["a2", "a1", "a3"]), ("b", ["b1", "b2", "a2"]), ("c", ["c2", "c1", "b1"])]
    for number, (name, ids) in enumerate(steps):
        clock_ms[0] = 1000 * (number + 1)
        write(writer, ids, payload=b'{"step":"%s"}' % name.encode(), seed=number)
        if number < seals:
            writer.seal()
    writer.delete(["a3", "c1"]).result()


@pytest.mark.parametrize("seals", [0, 1, 2, 3])
def test_the_newest_come_first_and_ids_decide_between_those_of_one_time(
    open_shard: OpenShard, clock_ms: list[int], seals: int
) -> None:
    writer = open_shard()
    filled(writer, clock_ms, seals=seals)
    everything = ["c2", "b1", "b2", "a1", "a2"]
    for count in range(8):
        found = listing.newest(writer.head, count)
        assert [listed.id for listed in found.first] == everything[:count]
        assert found.total == 5
    assert [-listed.negated_ms for listed in found.first] == [3000, 2000, 2000, 1000, 1000]


@pytest.mark.parametrize("seals", [0, 2, 3])
def test_a_condition_leaves_out_points_and_does_not_count_them(
    open_shard: OpenShard, clock_ms: list[int], seals: int
) -> None:
    writer = open_shard()
    filled(writer, clock_ms, seals=seals)
    found = listing.newest(writer.head, 1, Eq(("step",), "b"))
    assert ([listed.id for listed in found.first], found.total) == (["b2"], 2)
    assert listing.newest(writer.head, 3, Eq(("step",), "x")) == listing.Listing([], 0)


def test_no_payload_or_vector_of_other_rows_is_read(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_shard()
    write(writer, [f"p{number}" for number in range(50)])
    writer.seal()
    write(writer, ["later"])
    head = writer.head
    segment = head.segments[0].segment
    monkeypatch.setattr(segment, "payloads", None)
    monkeypatch.setattr(segment, "vectors", None)
    monkeypatch.setattr(segment, "ids", None)
    assert [listed.id for listed in listing.newest(head, 1).first] == ["later"]


def test_listings_of_several_shards_are_one(open_shard: OpenShard) -> None:
    listed = [listing.Listed(-5, "b"), listing.Listed(-5, "d"), listing.Listed(-1, "a")]
    parts = [listing.Listing(listed[1:], 2), listing.Listing(listed[:1], 7), listing.Listing((), 0)]
    assert listing.first_of(parts, 2) == listing.Listing(listed[:2], 9)
    assert listing.first_of([], 2) == listing.Listing([], 0)


def scanned(head: Head, count: int) -> list[listing.ScanStep]:
    steps = [listing.scan(head, 0, count)]
    while steps[-1].next_hash is not None:
        steps.append(listing.scan(head, steps[-1].next_hash, count))
    return steps


@pytest.mark.parametrize("seals", [0, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_a_scan_finds_every_point_once_in_order_of_hash(
    open_shard: OpenShard, clock_ms: list[int], seals: int, count: int
) -> None:
    writer = open_shard()
    filled(writer, clock_ms, seals=seals)
    steps = scanned(writer.head, count)
    assert all(len(step.points) == count for step in steps[:-1])
    points = [point for step in steps for point in step.points]
    assert [point.id for point in points] == sorted(["b1", "c2", "a2", "b2", "a1"], key=hash_id)
    for point in points:
        same = writer.get(point.id)
        assert same is not None
        assert np.array_equal(point.vector, same.vector)
        assert (point.payload, point.text) == (same.payload, same.text)
        assert (point.seq, point.updated_ms) == (same.seq, same.updated_ms)


@pytest.mark.parametrize("seals", [0, 2, 3])
def test_a_scan_with_a_condition_finds_what_meets_it(
    open_shard: OpenShard, clock_ms: list[int], seals: int
) -> None:
    writer = open_shard()
    filled(writer, clock_ms, seals=seals)
    first = listing.scan(writer.head, 0, 1, Eq(("step",), "b"))
    assert first.next_hash is not None
    second = listing.scan(writer.head, first.next_hash, 5, Eq(("step",), "b"))
    found = [point.id for point in (*first.points, *second.points)]
    assert found == sorted(["a2", "b2"], key=hash_id)
    assert second.next_hash is None
    assert listing.scan(writer.head, 0, 5, Eq(("step",), "x")) == listing.ScanStep([], None)


def test_a_scan_misses_nothing_and_repeats_nothing_while_points_are_written_and_merged(
    open_shard: OpenShard,
) -> None:
    writer = open_shard()
    ids = [f"p{number}" for number in range(200)]
    write(writer, ids)
    seen: list[str] = []
    start_hash: int | None = 0
    turn = 0
    while start_hash is not None:
        step = listing.scan(writer.head, start_hash, 20)
        seen += [point.id for point in step.points]
        start_hash = step.next_hash
        # All rows move, some get new content, some go and some come.
        write(writer, ids[turn::7], seed=turn)
        writer.delete([f"extra-{turn - 1}"]).result()
        write(writer, [f"extra-{turn}"])
        writer.seal()
        if turn % 3 == 2:
            writer.optimize()
        turn += 1
    assert turn >= 10
    assert len(set(seen)) == len(seen)
    assert set(ids) <= set(seen)


def test_points_that_share_a_hash_come_in_one_step(
    open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "hash_ids", lambda ids: np.array([len(one) for one in ids], dtype=np.uint64))
    writer = open_shard()
    write(writer, ["a", "b", "cc", "dd", "eee"])
    steps = scanned(writer.head, 1)
    assert [sorted(point.id for point in step.points) for step in steps] == [
        ["a", "b"],
        ["cc", "dd"],
        ["eee"],
    ]
    assert all(a.next_hash is not None and a.next_hash != b.next_hash for a, b in pairwise(steps))


def test_a_scan_ends_after_the_largest_hash(open_shard: OpenShard, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = np.uint64(2**64 - 1)
    monkeypatch.setattr(listing, "hash_ids", lambda ids: np.full(len(ids), largest, dtype=np.uint64))
    writer = open_shard()
    write(writer, ["a", "b"])
    step = listing.scan(writer.head, 0, 1)
    assert (len(step.points), step.next_hash) == (2, None)


def test_an_empty_shard_has_no_points(open_shard: OpenShard) -> None:
    head = open_shard().head
    assert listing.newest(head, 3) == listing.Listing([], 0)
    assert listing.scan(head, 0, 3) == listing.ScanStep([], None)


def test_a_text_that_is_absent_stays_so(open_shard: OpenShard) -> None:
    writer = open_shard()
    writer.write(PointBatch(["a", "b"], clustered(2), [b"{}"] * 2, [None, ""])).result()
    for _ in range(2):
        step = listing.scan(writer.head, 0, 2)
        assert {point.id: point.text for point in step.points} == {"a": None, "b": ""}
        writer.seal()
