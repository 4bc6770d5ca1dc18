"""Writes that share a durable file do not share each other's faults."""

import threading

import numpy as np
import pytest

from storage.records import Records
from tests.unit.storage.conftest import DIMENSION, OpenShard, batch_of, clustered
from tests.unit.storage.test_disk_failures import table_ids
from vectoray.core.errors import InvalidRequest
from vectoray.core.model import PointBatch

LONE_SURROGATE = "\ud800"


@pytest.mark.parametrize(
    ("point_id", "text", "payload"),
    [(LONE_SURROGATE, "t", b"{}"), ("bad", LONE_SURROGATE, b"{}"), ("bad", None, b'{"a":"\xff"}')],
    ids=["id", "text", "payload"],
)
def test_a_point_that_no_file_can_hold_is_refused_alone(
    open_shard: OpenShard,
    monkeypatch: pytest.MonkeyPatch,
    point_id: str,
    text: str | None,
    payload: bytes,
) -> None:
    writer = open_shard()
    append, held = writer._owned.log.append, threading.Event()

    def held_append(records: Records) -> None:
        held.wait(10)
        append(records)

    monkeypatch.setattr(writer._owned.log, "append", held_append)
    first = writer.upsert(batch_of(["first"], clustered(1)))
    neighbours = [writer.upsert(batch_of(["before"], clustered(1)))]
    vectors = np.ones((1, DIMENSION), dtype=np.float32)
    try:
        with pytest.raises(InvalidRequest):
            writer.upsert(PointBatch([point_id], vectors, [payload], [text]))
        neighbours.append(writer.upsert(batch_of(["after"], clustered(1))))
    finally:
        held.set()
    for write in (first, *neighbours):
        write.result(10)
    writer.flush()
    assert table_ids(writer) == ["after", "before", "first"]
