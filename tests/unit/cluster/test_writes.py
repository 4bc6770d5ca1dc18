"""Writes are split over shards and their results put together, row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.placement import shard_of, split_rows
from cluster.writes import SplitWrite, Write
from tests.unit.cluster.conftest import batch_of, write_of
from vectoray.core.errors import InvalidRequest
from vectoray.core.model import WriteMode, WriteResult

ids = st.lists(st.text("abcdef", min_size=1, max_size=3), max_size=40)


@given(ids=ids, shards=st.integers(1, 9))
def test_splitting_a_write_keeps_every_row_whole(ids: list[str], shards: int) -> None:
    batch = batch_of(ids)
    seqs = np.arange(len(ids), dtype=np.uint64)
    split = SplitWrite.of(Write(batch, WriteMode.INSERT, atomic=False, expected_seqs=seqs), shards)
    rows = split_rows(ids, shards)
    if shards > 1:
        assert split.parts.keys() == rows.keys()
    for shard, part in split.parts.items():
        mine = rows.get(shard, [])
        assert (part.mode, part.atomic) == (WriteMode.INSERT, False)
        assert list(part.batch.ids) == [ids[row] for row in mine]
        assert list(part.batch.payloads) == [batch.payloads[row] for row in mine]
        assert list(part.batch.texts) == [batch.texts[row] for row in mine]
        assert part.batch.vectors.tolist() == batch.vectors[mine].tolist()
        assert part.expected_seqs is not None
        assert part.expected_seqs.tolist() == mine
    assert sum(len(part.batch) for part in split.parts.values()) == len(ids)


def test_equal_ids_of_one_write_go_to_one_shard_in_order() -> None:
    part = SplitWrite.of(write_of(["x", "y", "x"]), 5).parts[shard_of("x", 5)].batch
    pairs = zip(part.ids, part.payloads, strict=True)
    assert [payload for point_id, payload in pairs if point_id == "x"] == [b'{"row":0}', b'{"row":2}']


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_refused_rows_are_named_by_their_position_in_the_whole_batch(shards: int) -> None:
    ids = [f"p{number}" for number in range(20)]
    split = SplitWrite.of(write_of(ids), shards)
    refused = {3, 4, 11, 19}
    results = {
        shard: WriteResult(
            sum(row not in refused for row in rows),
            tuple(at for at, row in enumerate(rows) if row in refused),
        )
        for shard, rows in split.rows.items()
    }
    assert split.joined(results) == WriteResult(16, (3, 4, 11, 19))


def test_a_write_needs_an_expected_sequence_number_for_each_row() -> None:
    with pytest.raises(InvalidRequest, match="2 rows"):
        Write(batch_of(["a", "b"]), expected_seqs=np.zeros(1, dtype=np.uint64))
