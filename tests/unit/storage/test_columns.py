"""Columns read without Arrow objects say what Arrow says."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from storage.columns import BytesColumn, numbers

VALUES = ["", None, "a", "é😀", None, "\x00", "long " * 99, "", None, "b", None, "c"] * 3


@pytest.mark.parametrize("kind", [pa.large_string(), pa.large_binary()])
@pytest.mark.parametrize("part", [slice(0, 36), slice(0, 0), slice(5, 6), slice(7, 33), slice(36, 36)])
def test_strings_of_a_column_or_a_part_of_one_are_read_as_they_are(kind: object, part: slice) -> None:
    encoded = [value if value is None else value.encode() for value in VALUES]
    column = BytesColumn(pa.array(encoded, pa.large_binary()).cast(kind)[part])
    assert list(column) == [value or b"" for value in encoded[part]]
    assert [column.is_null(row) for row in range(len(column))] == [value is None for value in encoded[part]]


def test_a_column_without_nulls_or_without_rows_has_none_that_is_null() -> None:
    column = BytesColumn(pa.array(["a", ""], pa.large_string()))
    assert [column.is_null(0), column.is_null(1)] == [False, False]
    assert list(BytesColumn(pa.array([], pa.large_string()))) == []
    nothing = BytesColumn(pa.nulls(9, pa.large_string()))
    assert [(nothing[row], nothing.is_null(row)) for row in range(9)] == [(b"", True)] * 9


def test_a_column_outlives_the_file_that_it_is_mapped_from(tmp_path: Path) -> None:
    path = tmp_path / "column.arrow"
    batch = pa.record_batch({"s": pa.array(VALUES, pa.large_string()), "n": pa.array(range(36), pa.uint64())})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    mapped = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    strings, counts = BytesColumn(mapped["s"]), numbers(mapped["n"], np.uint64)
    del mapped, batch
    path.unlink()
    assert strings[3] == "é😀".encode()
    assert strings.is_null(34)
    assert counts.tolist() == list(range(36))


def test_numbers_of_a_part_of_a_column_begin_where_the_part_begins() -> None:
    column = pa.array([1.5, 2.5, 3.5, 4.5], pa.float32())
    assert numbers(column[1:3], np.float32).tolist() == [2.5, 3.5]
    assert numbers(column[4:], np.float32).tolist() == []
    assert numbers(pa.array([], pa.int64()), np.int64).tolist() == []
