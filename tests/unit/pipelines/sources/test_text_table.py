"""Tables whose rows are documents."""

import datetime as dt
import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from pyarrow import csv, feather, ipc, parquet

from pipelines.sources import TextColumns, TextDocument, TextTable, Unread
from vectoray.core.errors import InvalidRequest

ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": "One text,\n\nin two paragraphs.", "name": "First", "year": "1999"},
    {"id": "b", "text": 'Another "text".', "name": "Second", "year": "2000"},
]
COLUMNS = TextColumns(text="text", id="id", title="name")


def write_json_lines(table: pa.Table, path: Path) -> None:
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in table.to_pylist()))


def write_stream(table: pa.Table, path: Path) -> None:
    with path.open("wb") as file, ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "t.parquet": parquet.write_table,
    "t.feather": feather.write_feather,
    "t.arrow": write_stream,
    "t.csv": csv.write_csv,
    "t.jsonl": write_json_lines,
}


def reasons(path: Path, columns: TextColumns = COLUMNS) -> list[tuple[str, str]]:
    return [(one.source, one.reason) for one in TextTable(path, columns) if isinstance(one, Unread)]


def json_lines(path: Path, *rows: Any) -> Path:
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else orjson.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](pa.Table.from_pylist(ROWS), path)
    first, second = TextTable(path, COLUMNS)
    assert first == TextDocument(
        f"{path.as_uri()}#id=a", f"{name}#a", ROWS[0]["text"], "First", b'{"year":"1999"}'
    )
    assert isinstance(second, TextDocument)
    assert (second.source, second.text) == (f"{name}#b", 'Another "text".')
    assert [block.text for block in first.parsed().blocks] == ["One text,", "in two paragraphs."]


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "t.jsonl"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, name: str) -> None:
    WRITERS[name](pa.Table.from_pylist(ROWS), tmp_path / name)
    with pytest.raises(InvalidRequest) as refused:
        list(TextTable(tmp_path / name, TextColumns(text="body")))
    assert refused.value.message == f"'{name}' has no column 'body'; it has: 'id', 'text', 'name', 'year'."


def test_without_an_id_a_row_is_known_by_its_number(tmp_path: Path) -> None:
    path = json_lines(tmp_path / "t.jsonl", {"text": "a"}, {"text": "b"})
    found = [one for one in TextTable(path) if isinstance(one, TextDocument)]
    assert [one.uri for one in found] == [f"{path.as_uri()}#row=1", f"{path.as_uri()}#row=2"]
    assert [one.source for one in found] == ["t.jsonl#1", "t.jsonl#2"]


def test_rows_that_are_no_documents_are_told_by_row_and_column(tmp_path: Path) -> None:
    path = json_lines(
        tmp_path / "t.jsonl",
        {"id": "a", "text": "fine", "name": "x"},
        {"id": "b", "text": None, "name": "x"},
        {"id": "c", "text": 7, "name": "x"},
        {"id": "d", "text": " \n", "name": "x"},
        {"id": "e", "name": "x"},
        {"id": None, "text": "t", "name": "x"},
        {"id": "a", "text": "again", "name": "x"},
        {"id": "f", "text": "t", "name": ""},
        {"id": "g", "text": "t", "name": "x", "more": "m" * 20_000},
        b"{not json",
        b"[1, 2]",
        b"",
        {"id": "h", "text": "fine", "name": "x"},
    )
    too_large = "the columns that are kept have 20011 bytes as JSON, at most 16384 are stored; name fewer."
    assert reasons(path) == [
        ("t.jsonl#2", "Row 2: column 'text' must be text, it is null."),
        ("t.jsonl#3", "Row 3: column 'text' must be text, it is int."),
        ("t.jsonl#4", "Row 4: column 'text' is empty."),
        ("t.jsonl#5", "Row 5: there is no column 'text'."),
        ("t.jsonl#6", "Row 6: column 'id' must be text of 1 to 512 characters, or a whole number."),
        ("t.jsonl#a", "Row 7: the id in column 'id' is that of an earlier row."),
        ("t.jsonl#8", "Row 8: column 'name' must be text of 1 to 512 characters, or a whole number."),
        ("t.jsonl#9", f"Row 9: {too_large}"),
        ("t.jsonl#10", "Row 10: it is not a JSON object."),
        ("t.jsonl#11", "Row 11: it is not a JSON object."),
    ]
    assert [one.source for one in TextTable(path, COLUMNS) if isinstance(one, TextDocument)] == [
        "t.jsonl#a",
        "t.jsonl#h",
    ]


def test_values_that_json_has_not_are_kept_as_text_or_refused_by_name(tmp_path: Path) -> None:
    row = {
        "text": "t",
        "day": dt.date(2024, 1, 2),
        "price": decimal.Decimal("1.50"),
        "tags": ["a", None],
        "score": float("nan"),
    }
    parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "t.parquet")
    (found,) = TextTable(tmp_path / "t.parquet")
    assert isinstance(found, TextDocument)
    assert orjson.loads(found.metadata) == {
        "day": "2024-01-02",
        "price": "1.50",
        "tags": ["a", None],
        "score": None,
    }
    parquet.write_table(pa.Table.from_pylist([{"text": "t", "raw": b"\xff"}]), tmp_path / "b.parquet")
    ((_, reason),) = reasons(tmp_path / "b.parquet", TextColumns())
    assert reason == "Row 1: column 'raw' is no JSON value, so it cannot be kept."
    assert reasons(tmp_path / "b.parquet", TextColumns(kept=())) == []


def test_a_csv_row_of_another_length_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('text,year\nfine,1\ntoo,many,values\n\n"several\nlines",2\n')
    assert reasons(tmp_path / "t.csv", TextColumns()) == [
        ("t.csv#2", "Row 2: it has 3 values for 2 columns.")
    ]
    assert len(list(TextTable(tmp_path / "t.csv"))) == 3


def test_a_long_text_in_csv_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"text\n{'x' * 500_000}\n")
    (found,) = TextTable(tmp_path / "t.csv")
    assert isinstance(found, TextDocument)
    assert len(found.text) == 500_000


def test_the_rest_of_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b'text\nfine\n"no end')
    assert reasons(tmp_path / "t.csv", TextColumns()) == [
        ("t.csv#2", "Row 2: from here on the file is not valid CSV in UTF-8.")
    ]
    (tmp_path / "u.csv").write_bytes(b"text\nfine\n\xff\xfe\n")
    assert reasons(tmp_path / "u.csv", TextColumns())
    write_stream(pa.Table.from_pylist(ROWS * 50), tmp_path / "t.arrow")
    whole = (tmp_path / "t.arrow").read_bytes()
    (tmp_path / "t.arrow").write_bytes(whole[: len(whole) // 2])
    *_, (_, reason) = reasons(tmp_path / "t.arrow", TextColumns())
    assert "the file is damaged from here on" in reason


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("t.parquet", "'t.parquet' is not a Parquet file, or is damaged."),
        ("t.arrow", "'t.arrow' is not an Arrow file, or is damaged."),
        ("t.xlsx", "'t.xlsx' is no table that is read"),
        ("t.csv", "'t.csv' has no column 'text'"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(InvalidRequest) as refused:
        list(TextTable(tmp_path / name))
    assert refused.value.message.startswith(message)


def test_a_table_that_is_not_there_is_refused_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as refused:
        list(TextTable(tmp_path / "gone.csv"))
    assert refused.value.message == "The table 'gone.csv' cannot be read: No such file or directory."
