"""Inverted indexes: texts become terms, terms lead to their rows, merged and grown indexes equal new ones."""

import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.bm25 import TextPart
from storage.text_index import TailText, TextIndex, merge_text_indexes, tokens, write_text_index
from vectoray.core.errors import CorruptData

# Stems that meet, stop words, a word of another script, and words that only a fold makes equal.
WORDS = ["run", "running", "the", "of", "Straße", "STRASSE", "café", "cafe", "数据库", "x", "😀", "zebra"]
TEXTS = st.lists(
    st.none() | st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join) | st.text(max_size=12), max_size=12
)


def index_of(directory: Path, texts: Sequence[str | None], name: str = "text.arrow") -> TextIndex:
    write_text_index(directory / name, texts)
    return TextIndex(directory / name, len(texts))


def expect_index_of(part: TextPart, texts: Sequence[str | None]) -> None:
    """The index says what counting the terms of each text says."""
    counts = [Counter(tokens(text or "")) for text in texts]
    assert part.lengths.tolist() == [count.total() for count in counts]
    assert part.documents == sum(1 for count in counts if count)
    assert part.total_tokens == sum(count.total() for count in counts)
    for term in {term for count in counts for term in count} | {"absent", "", "\U0010ffff"}:
        rows, frequencies = part.postings(term)
        assert rows.dtype == frequencies.dtype == np.uint32
        expected = [(row, count[term]) for row, count in enumerate(counts) if term in count]
        assert list(zip(rows.tolist(), frequencies.tolist(), strict=True)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("The quick brown foxes, running!", ["quick", "brown", "fox", "run"]),
        ("to be or not to be? It's THE", []),
        ("snake_case camelCase v2.10", ["snake", "case", "camelcas", "v2", "10"]),
        ("John's rock'n'roll, 'quoted' don\u2019t", ["john", "rock'n'rol", "quot", "don't"]),
        ("Élan CAFÉ cafe\u0301 naïve Ångström", ["elan", "cafe", "cafe", "naiv", "angstrom"]),
        ("STRASSE straße ﬁle \uff26\uff35\uff2c\uff2c", ["strass", "strass", "file", "full"]),
        ("co\u00adoper\u00adate zero\u200bwidth", ["cooper", "zero", "width"]),
        ("İstanbul Ελλάδα Ёлка \u211d", ["istanbul", "ελλαδα", "елка", "r"]),
        ("हिन्दी में", ["हिनदी", "में"]),
        ("❤\ufe0f 1\ufe0f\u20e3 👍🏽 \x00 \ud800", ["1"]),
        ("数据库", ["数据", "据库"]),
        ("猫", ["猫"]),
        ("用Python写程序。", ["用", "python", "写程", "程序"]),
        ("ガラス カラス ｶﾞﾗｽ", ["ガラ", "ラス", "カラ", "ラス", "ガラ", "ラス"]),
        ("한국어", ["한국", "국어"]),
        ("ภาษา", ["ภา", "าษ", "ษา"]),
    ],
)
def test_a_text_becomes_folded_stemmed_terms(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def test_a_long_run_without_spaces_is_cut_but_pairs_of_characters_are_not() -> None:
    assert tokens("9" * 1000 + " end") == ["9" * 64, "end"]
    assert len(tokens("数" * 1000)) == 999


@given(st.text(max_size=40))
def test_any_text_becomes_short_terms_without_spaces(text: str) -> None:
    for term in tokens(text):
        assert 0 < len(term) <= 64
        assert term == term.casefold()
        assert not any(char.isspace() for char in term)


@given(TEXTS)
def test_an_index_finds_every_row_of_every_term(texts: list[str | None]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        expect_index_of(index_of(Path(directory), texts), texts)


def test_every_one_of_many_terms_is_found_where_it_was_put(tmp_path: Path) -> None:
    texts = [f"n{row} common{row % 3} {'often ' * (row % 4)}" for row in range(1000)] + ["9" * 1000]

    expect_index_of(index_of(tmp_path, texts), texts)


@given(st.lists(TEXTS, min_size=1, max_size=4), st.data())
def test_a_merged_index_is_byte_for_byte_one_built_anew(
    parts: list[list[str | None]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        taken = [
            [row for row in range(len(texts)) if data.draw(st.booleans(), label=f"row {row} stays")]
            for texts in parts
        ]
        merge_text_indexes(
            directory / "merged",
            [
                (index_of(directory, texts, f"part{at}"), np.array(rows, dtype=np.int64))
                for at, (texts, rows) in enumerate(zip(parts, taken, strict=True))
            ],
        )
        kept = [texts[row] for texts, rows in zip(parts, taken, strict=True) for row in rows]
        write_text_index(directory / "anew", kept)

        assert (directory / "merged").read_bytes() == (directory / "anew").read_bytes()
        expect_index_of(TextIndex(directory / "merged", len(kept)), kept)


def test_a_merged_index_can_be_merged_again_after_its_parts_are_gone(tmp_path: Path) -> None:
    texts = [f"word{row % 7} row{row}" for row in range(30)]
    part = index_of(tmp_path, texts, "part")
    merge_text_indexes(tmp_path / "once", [(part, np.arange(0, 30, 2))])
    (tmp_path / "part").unlink()
    once = TextIndex(tmp_path / "once", 15)

    merge_text_indexes(tmp_path / "twice", [(once, np.arange(5, 15)), (once, np.arange(5))])

    expect_index_of(TextIndex(tmp_path / "twice", 15), texts[10:30:2] + texts[0:10:2])


def test_a_truncated_file_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "text.arrow"
    write_text_index(path, ["some text", None, "more text"])
    whole = path.read_bytes()

    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        with pytest.raises(CorruptData, match="cannot be read"):
            TextIndex(path, 3)


def test_a_file_that_is_missing_or_something_else_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"\x00\xff" * 500)
    other = pa.record_batch({"lengths": pa.array([[1]], pa.large_list(pa.uint32()))})
    with pa.OSFile(str(tmp_path / "other"), "wb") as sink, pa.ipc.new_file(sink, other.schema) as writer:
        writer.write_batch(other)

    for name in ("missing", "noise", "other"):
        with pytest.raises(CorruptData, match="cannot be read"):
            TextIndex(tmp_path / name, 1)


def test_an_index_of_another_number_of_rows_is_corrupt(tmp_path: Path) -> None:
    write_text_index(tmp_path / "text.arrow", ["a text", None])

    with pytest.raises(CorruptData, match="does not fit"):
        TextIndex(tmp_path / "text.arrow", 3)


@pytest.mark.parametrize("name", ["terms", "starts", "rows", "frequencies"])
def test_lists_that_do_not_fit_each_other_are_corrupt(tmp_path: Path, name: str) -> None:
    write_text_index(tmp_path / "text.arrow", ["two words"])
    record = pa.ipc.open_file(str(tmp_path / "text.arrow")).get_batch(0)
    longer = pa.array([[*record[name][0].as_py(), record[name][0][-1].as_py()]], record[name].type)
    broken = record.set_column(record.schema.get_field_index(name), name, longer)
    with pa.OSFile(str(tmp_path / "broken"), "wb") as sink, pa.ipc.new_file(sink, broken.schema) as writer:
        writer.write_batch(broken)

    with pytest.raises(CorruptData, match="does not fit"):
        TextIndex(tmp_path / "broken", 1)


def test_lists_longer_than_the_file_are_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "text.arrow"
    write_text_index(path, [" ".join(f"word{number}" for number in range(1237))])
    size, enormous = ((number).to_bytes(8, "little") + bytes(8) for number in (1237, 1 << 40))
    whole = path.read_bytes()
    assert size in whole
    path.write_bytes(whole.replace(size, enormous))

    with pytest.raises(CorruptData, match="cannot be read"):
        TextIndex(path, 1)


def test_a_folder_that_cannot_be_written_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_text_index(tmp_path / "missing" / "text.arrow", ["text"])


@given(TEXTS, st.lists(st.integers(0, 12), max_size=4))
def test_the_tail_index_equals_a_new_one_however_it_grew(texts: list[str | None], steps: list[int]) -> None:
    tail = TailText(texts)

    for rows in [*steps, len(texts)]:
        tail.catch_up(min(rows, len(texts)))

    expect_index_of(tail, texts)


def test_what_was_read_from_the_tail_stays_while_it_grows_to_any_size() -> None:
    texts = [f"every row{row}" for row in range(2000)]
    tail = TailText(texts)
    tail.catch_up(200)
    lengths, (rows, frequencies) = tail.lengths, tail.postings("everi")

    tail.catch_up(2000)

    assert lengths.tolist() == [2] * 200
    assert rows.tolist() == list(range(200))
    assert frequencies.tolist() == [1] * 200
    expect_index_of(tail, texts)


class FailsOnce(Sequence[str | None]):
    """Texts of which one cannot be read the first time."""

    def __init__(self, texts: list[str | None], at: int) -> None:
        self._texts, self._at = texts, at

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, row: int) -> str | None: ...
    @overload
    def __getitem__(self, row: slice) -> list[str | None]: ...
    def __getitem__(self, row: int | slice) -> str | list[str | None] | None:
        if row == self._at:
            self._at = -1
            raise MemoryError
        return self._texts[row]


def test_a_catching_up_that_failed_half_way_is_made_good_by_the_next() -> None:
    texts: list[str | None] = ["one two", "two two", "three two", "two"]
    tail = TailText(FailsOnce(texts, at=2))

    with pytest.raises(MemoryError):
        tail.catch_up(4)
    assert len(tail.lengths) == 0
    tail.catch_up(4)

    expect_index_of(tail, texts)


class MeetsAnother(TailText):
    """A tail into which another thread looks just before the first thread sets one of the attributes."""

    def __init__(self, texts: Sequence[str | None], before: str) -> None:
        self._before = ""
        super().__init__(texts)
        self.seen: list[tuple[int, int, int]] = []
        self.other = threading.Thread(target=self._look)
        self._before = before

    def _look(self) -> None:
        self.catch_up(2)
        self.seen.append((len(self.lengths), self.documents, self.total_tokens))

    def __setattr__(self, name: str, value: object) -> None:
        if "_before" in self.__dict__ and name == self._before:
            super().__setattr__("_before", "")
            self.other.start()
            self.other.join(timeout=0.05)  # it should wait for us; if it does not, it is through by then
        super().__setattr__(name, value)


@pytest.mark.parametrize("attribute", ["lengths", "documents", "total_tokens", "_indexed"])
def test_a_thread_waits_for_the_one_that_is_indexing_its_rows(attribute: str) -> None:
    texts = ["one word", None, "three more words"]
    tail = MeetsAnother(texts, before=attribute)

    tail.catch_up(3)
    tail.other.join()

    assert tail.seen == [(3, 2, 5)]
    expect_index_of(tail, texts)
