"""The file of a filter index is small, opens at once, and is refused where it is damaged or another's."""

import struct
import tracemalloc
from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from storage.filter_index import FilterIndex
from storage.filter_index_writer import write_filter_index
from storage.filter_terms import FORMAT, SCHEMA, Section
from vectoray.core.errors import CorruptData
from vectoray.core.filters import Contains, Eq, Exists, Or, Prefix, TimeRange

SMALL = [b'{"a":1,"s":"x"}', b'{"a":[true]}', b'{"b":{"c":"2026-03-01"}}']


def test_the_index_is_no_larger_than_twice_its_payloads(tmp_path: Path) -> None:
    payloads = [
        orjson.dumps({"id": f"document-{row}", "n": row, "kind": "page", "tags": ["a", "b"], "x": row / 7})
        for row in range(5000)
    ]
    path = tmp_path / "filters.arrow"
    write_filter_index(path, payloads)
    assert path.stat().st_size < 2 * sum(map(len, payloads))


def test_opening_makes_no_object_for_each_term(tmp_path: Path) -> None:
    path = tmp_path / "filters.arrow"
    write_filter_index(path, [b'{"n":%d,"s":"%d"}' % (row, row) for row in range(20_000)])
    FilterIndex(path, 20_000)
    arrow_bytes = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        index = FilterIndex(path, 20_000)
        index._terms.find(b"")
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 20_000
    assert pa.total_allocated_bytes() - arrow_bytes < 20_000


def test_a_disk_that_refuses_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Failed to open"):
        write_filter_index(tmp_path / "absent" / "filters.arrow", [b"{}"])


def test_a_file_of_other_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "filters.arrow"
    write_filter_index(path, SMALL)
    for rows in (0, 2, 4):
        with pytest.raises(CorruptData):
            FilterIndex(path, rows)


def test_a_file_that_is_absent_or_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "filters.arrow"
    with pytest.raises(CorruptData):
        FilterIndex(path, 3)
    write_filter_index(path, SMALL)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(CorruptData):
            FilterIndex(path, 3)


def test_a_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "filters.arrow"
    wanted = SCHEMA.with_metadata({b"format": FORMAT, b"rows": b"3"})
    # It lacks the last term.
    terms, rows = (
        pa.array([bytes((Section.UNINDEXED,))], pa.large_binary()),
        pa.array([[0]], pa.large_list(pa.uint32())),
    )
    empty = pa.record_batch([terms[:0], rows[:0]], schema=wanted)
    incomplete = pa.record_batch([terms, rows], schema=wanted)
    nameless = pa.record_batch([terms, rows], schema=SCHEMA)
    other = pa.record_batch({"term": terms}, metadata=wanted.metadata)
    write_filter_index(path, SMALL)
    good = pa.ipc.open_file(path.read_bytes()).get_batch(0)
    older = good.replace_schema_metadata({b"format": b"1", b"rows": b"3"})
    for batch in (empty, incomplete, nameless, other, older):
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        with pytest.raises(CorruptData):
            FilterIndex(path, 3)


def test_a_file_that_claims_more_rows_than_it_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "filters.arrow"
    write_filter_index(path, [b'{"n":1}'] * 300)
    whole = path.read_bytes()
    # Arrow writes how long a column is as two numbers, the values and the nulls.
    claimed = struct.pack("<qq", 600, 0)
    assert whole.count(claimed) == 1
    path.write_bytes(whole.replace(claimed, struct.pack("<qq", 10**12, 0)))
    with pytest.raises(CorruptData):
        FilterIndex(path, 300)


def test_rows_beyond_the_segment_are_corruption_not_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "filters.arrow"
    write_filter_index(path, SMALL)
    index = FilterIndex(path, 3)
    index._rows = 1
    with pytest.raises(CorruptData):
        index.matching(Exists(("b",)))


def test_a_damaged_byte_never_escapes_as_another_error(tmp_path: Path) -> None:
    path = tmp_path / "filters.arrow"
    write_filter_index(path, SMALL)
    whole = path.read_bytes()
    refused = 0
    ask = Or((Eq(("a",), 1), Contains(("a",), True), Prefix(("s",), "x"), TimeRange(("b", "c"))))
    for at in range(0, len(whole), 2):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            FilterIndex(path, 3).matching(ask)
        except CorruptData:
            refused += 1
    assert refused
