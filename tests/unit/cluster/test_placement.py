"""Where points and shards live. These answers are on disks already: they may never change."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.placement import place, shard_of, shards_by_host, split_rows

ids = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), max_size=30)


@pytest.mark.parametrize(
    ("point_id", "shard_of_2", "shard_of_7", "shard_of_1024"),
    [
        ("a", 1, 1, 543),
        ("point-1", 1, 5, 829),
        ("é", 1, 6, 179),
        ("e\u0301", 0, 0, 424),
        ("😀", 0, 2, 142),
        ("00000000-0000-0000-0000-000000000000", 1, 0, 745),
    ],
)
def test_the_shard_of_an_id_is_what_it_was_in_the_first_release(
    point_id: str, shard_of_2: int, shard_of_7: int, shard_of_1024: int
) -> None:
    assert [shard_of(point_id, shards) for shards in (1, 2, 7, 1024)] == [
        0,
        shard_of_2,
        shard_of_7,
        shard_of_1024,
    ]


@pytest.mark.parametrize(
    ("collection_id", "hosts_of_8_shards_on_3"),
    [
        ("00000000-0000-0000-0000-000000000000", [1, 0, 2, 0, 1, 1, 0, 2]),
        ("6f1c2a5e-9f0b-4c57-8d2e-0a4b7f3c1d22", [2, 0, 0, 2, 1, 1, 1, 1]),
    ],
)
def test_the_host_of_a_shard_is_what_it_was_in_the_first_release(
    collection_id: str, hosts_of_8_shards_on_3: list[int]
) -> None:
    assert list(place(collection_id, 8, 3)) == hosts_of_8_shards_on_3


@given(ids=ids, shards=st.integers(1, 9))
def test_splitting_rows_puts_each_row_into_its_shard_once_and_in_order(ids: list[str], shards: int) -> None:
    parts = split_rows(ids, shards)
    assert sorted(row for rows in parts.values() for row in rows) == list(range(len(ids)))
    for shard, rows in parts.items():
        assert rows
        assert rows == sorted(rows)
        assert all(shard_of(ids[row], shards) == shard for row in rows)


@pytest.mark.parametrize("shards", [2, 3, 8])
def test_ids_spread_evenly_over_shards(shards: int) -> None:
    count = Counter(shard_of(f"document-{number}#0", shards) for number in range(6000))
    assert len(count) == shards
    assert max(count.values()) < 1.15 * 6000 / shards


@pytest.mark.parametrize("hosts", [1, 2, 3, 5, 8])
def test_a_new_host_takes_its_share_and_nothing_moves_between_the_others(hosts: int) -> None:
    collections = [f"collection-{number}" for number in range(500)]
    before = [host for collection in collections for host in place(collection, 8, hosts)]
    after = [host for collection in collections for host in place(collection, 8, hosts + 1)]

    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]

    assert {new for _, new in moved} == {hosts}
    share = len(moved) / len(before)
    assert share == pytest.approx(1 / (hosts + 1), rel=0.12)
    taken = Counter(old for old, _ in moved)
    assert len(taken) == hosts
    assert max(taken.values()) < 1.35 * len(moved) / hosts
    assert max(Counter(before).values()) < 1.15 * len(before) / hosts


def test_one_host_has_everything() -> None:
    assert set(place("c", 100, 1)) == {0}


def test_the_shards_of_each_host_are_listed_in_order() -> None:
    assert shards_by_host((1, 0, 1, 2)) == {0: (1,), 1: (0, 2), 2: (3,)}
