"""What a shard does with ids that are there already, or are not; and deletes by condition."""

import numpy as np

from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from vectoray.core.filters import Eq
from vectoray.core.model import WriteMode, WriteResult


def test_an_insert_of_an_id_that_is_there_writes_nothing(open_shard: OpenShard) -> None:
    writer = open_shard()
    old, new = clustered(1), clustered(2, seed=1)
    writer.upsert(batch_of(["a"], old)).result()
    for seal in (False, True):
        if seal:
            writer.seal()
        refused = writer.write(batch_of(["b", "a"], new), WriteMode.INSERT).result()
        assert refused == WriteResult(0, (1,))
        assert writer.get("b") is None
        point = writer.get("a")
        assert point is not None
        assert np.array_equal(point.vector, old[0])


def test_row_by_row_an_insert_writes_what_is_new_and_names_the_rest(open_shard: OpenShard) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    rows = batch_of(["b", "a", "c", "b"], clustered(4, seed=1))
    assert writer.write(rows, WriteMode.INSERT, atomic=False).result() == WriteResult(2, (1, 3))
    point = writer.get("b")
    assert point is not None
    assert np.array_equal(point.vector, rows.vectors[0])
    assert writer.stats().points == 3


def test_an_update_of_an_id_that_is_absent_writes_nothing(open_shard: OpenShard) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a", "gone"], clustered(2))).result()
    writer.delete(["gone"]).result()
    rows = batch_of(["a", "gone"], clustered(2, seed=1))
    assert writer.write(rows, WriteMode.UPDATE).result() == WriteResult(0, (1,))
    assert writer.write(rows, WriteMode.UPDATE, atomic=False).result() == WriteResult(1, (1,))
    point = writer.get("a")
    assert point is not None
    assert np.array_equal(point.vector, rows.vectors[0])
    assert writer.get("gone") is None


def test_of_two_writes_that_expect_the_same_state_one_is_refused(open_shard: OpenShard) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["a"], clustered(1))).result()
    point = writer.get("a")
    assert point is not None
    seen = np.array([point.seq], dtype=np.uint64)
    first = writer.write(batch_of(["a"], clustered(1, seed=1)), expected_seqs=seen)
    second = writer.write(batch_of(["a"], clustered(1, seed=2)), expected_seqs=seen)
    assert [first.result(), second.result()] == [WriteResult(1), WriteResult(0, (0,))]
    point = writer.get("a")
    assert point is not None
    assert np.array_equal(point.vector, clustered(1, seed=1)[0])


def test_a_delete_by_condition_sees_every_write_before_it_and_none_after(open_shard: OpenShard) -> None:
    writer = open_shard()
    writer.upsert(batch_of(["sealed", "other"], clustered(2), b'{"kind":"x"}')).result()
    writer.upsert(batch_of(["other"], clustered(1), b'{"kind":"y"}')).result()
    writer.seal()
    writer.upsert(batch_of(["tail"], clustered(1), b'{"kind":"x"}')).result()
    before = writer.upsert(batch_of(["before"], clustered(1), b'{"kind":"x"}'))
    deleted = writer.delete_matching(Eq(("kind",), "x"))
    after = writer.upsert(batch_of(["after"], clustered(1), b'{"kind":"x"}'))
    assert sorted(deleted.result()) == ["before", "sealed", "tail"]
    assert (before.result().written, after.result().written) == (1, 1)
    assert [writer.get(name) is not None for name in ("sealed", "tail", "before", "other", "after")] == [
        False,
        False,
        False,
        True,
        True,
    ]
