"""Files of every format give the same rows, in tables of the asked length; bad files one clear sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from pipelines.vectors.columns import Columns, Target, check_rows
from pipelines.vectors.files import read_rows, vector_files
from vectoray.core.errors import InvalidRequest
from vectoray.core.model import Metric

ROWS, DIMENSION, AT_ONCE = 50, 3, 7
COLUMNS, TARGET = Columns(), Target(DIMENSION, Metric.COSINE)
VECTORS = np.random.default_rng(0).standard_normal((ROWS, DIMENSION)).astype(np.float32)
IDS = [f"{row:04d}" for row in range(ROWS)]


def table() -> Any:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.reshape(-1)), DIMENSION)
    return pa.table({"id": IDS, "vector": vectors, "year": range(ROWS)})


def parquet(folder: Path) -> Path:
    pq.write_table(table(), folder / "rows.parquet", row_group_size=11)
    return folder / "rows.parquet"


def feather(folder: Path) -> Path:
    pa.feather.write_feather(table(), folder / "rows.feather", chunksize=4)
    return folder / "rows.feather"


def stream(folder: Path) -> Path:
    with pa.ipc.new_stream(folder / "rows.arrow", table().schema) as writer:
        writer.write_table(table(), max_chunksize=9)
    return folder / "rows.arrow"


def csv_of_arrays(folder: Path) -> Path:
    path = folder / "rows.csv"
    vectors = [json.dumps(vector) for vector in VECTORS.tolist()]
    pa.csv.write_csv(pa.table({"id": IDS, "vector": vectors, "year": range(ROWS)}), path)
    return path


def csv_of_columns(folder: Path) -> Path:
    path = folder / "rows.csv"
    numbers = {f"vector_{number}": VECTORS[:, number].astype(float) for number in range(DIMENSION)}
    pa.csv.write_csv(pa.table({"id": IDS, "year": range(ROWS), **numbers}), path)
    return path


def jsonl(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    lines = [{"id": IDS[row], "vector": VECTORS[row].tolist(), "year": row} for row in range(ROWS)]
    path.write_text("\n\n".join(json.dumps(line) for line in lines))
    return path


def pair(folder: Path) -> Path:
    np.save(folder / "rows.npy", VECTORS)
    np.save(folder / "rows.ids.npy", np.array(IDS))
    return folder / "rows.npy"


@pytest.mark.parametrize("write", [parquet, feather, stream, csv_of_arrays, csv_of_columns, jsonl, pair])
def test_every_format_gives_the_same_rows(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    raw = list(read_rows(path, COLUMNS, AT_ONCE))
    assert [(one.first_row, one.table.num_rows) for one in raw] == [
        (first, min(AT_ONCE, ROWS - first)) for first in range(0, ROWS, AT_ONCE)
    ]
    checked = [check_rows(one.table, COLUMNS, TARGET, one.refused) for one in raw]
    assert all(not one.refused for one in checked)
    assert [point_id for one in checked for point_id in one.batch.ids] == IDS
    assert np.array_equal(np.concatenate([one.batch.vectors for one in checked]), VECTORS)
    if write is not pair:
        payloads = [json.loads(payload) for one in checked for payload in one.batch.payloads]
        assert payloads == [{"year": row} for row in range(ROWS)]
    assert vector_files([tmp_path]) == [path]


def test_lines_of_json_keep_just_their_own_fields_and_bad_ones_are_refused_by_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [
        '{"id": 7, "vector": [1, 2, 3], "payload": {"a": 1}, "b": {"c": 2}, "text": "words"}',
        "{",
        "[1]",
        '{"id": {}, "vector": [1, 2, 3]}',
        '{"id": "x", "vector": [1, 2, "3"], "payload": []}',
        '{"vector": [1, 2, 3]}',
        '{"id": "y", "vector": [1, 2, 3], "source": 5}',
        '{"id": "z", "vector": [1, 2, 3.5]}',
    ]
    path.write_text("\n".join(lines) + "\n")
    [raw] = read_rows(path, COLUMNS, 100)
    rows = check_rows(raw.table, COLUMNS, TARGET, raw.refused)
    assert rows.batch.ids == ["7", "z"]
    assert [json.loads(payload) for payload in rows.batch.payloads] == [{"a": 1, "b": {"c": 2}}, {}]
    assert rows.batch.texts == ["words", None]
    assert rows.refused == {
        1: "The line is no JSON object.",
        2: "The line is no JSON object.",
        3: "Its id is neither a string nor an integer.",
        4: "Its payload is no JSON object.",
        5: "It has no id.",
        6: "Its 'source' is no string.",
    }


def test_ids_in_csv_keep_their_zeros_and_what_is_empty_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('id,vector,text,payload\n007,"[1,2,3]",,\n"a\nb","[1,2,3]",x,"{""k"": 1}"\n')
    [raw] = read_rows(path, COLUMNS, 100)
    batch = check_rows(raw.table, COLUMNS, TARGET).batch
    assert batch.ids == ["007", "a\nb"]
    assert batch.texts == [None, "x"]
    assert batch.payloads == [b"{}", b'{"k": 1}']


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR1 no parquet PAR1", "It cannot be read: "),
        ("a.parquet", b"", "It cannot be read: "),
        ("a.feather", b"ARROW1 but no more", "It cannot be read: "),
        ("a.csv", b"", "It cannot be read: "),
        ("a.csv", b"id,vector_0,vector_1,vector_2\na,1,2,x\n", "It cannot be read: In CSV column #3"),
        ("a.csv", b"id,vector\na\n", "It cannot be read: "),
        ("a.npy", b"no numpy", "It cannot be read: "),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_one_sentence(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "a.ids.npy", np.array(["a"]))
    with pytest.raises(InvalidRequest) as caught:
        list(read_rows(tmp_path / name, COLUMNS, 10))
    assert caught.value.message.startswith(message)
    assert "\n" not in caught.value.message
    assert str(tmp_path) not in caught.value.message


def test_arrays_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VECTORS)
    with pytest.raises(InvalidRequest, match=r"there must be a file 'a\.ids\.npy'"):
        list(read_rows(tmp_path / "a.npy", COLUMNS, 10))
    np.save(tmp_path / "a.ids.npy", np.array(["a"]))
    with pytest.raises(InvalidRequest, match="must be 50 strings or integers"):
        list(read_rows(tmp_path / "a.npy", COLUMNS, 10))
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        list(read_rows(tmp_path / "a.npy", COLUMNS, 10))


def test_what_is_no_file_of_vectors_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for path, message in (
        (tmp_path / "missing.parquet", "There is no file or folder"),
        (tmp_path / "notes.txt", "is no file of vectors"),
        (tmp_path, "holds no file of vectors"),
    ):
        with pytest.raises(InvalidRequest, match=message):
            vector_files([path])
