"""Which files of a folder become documents."""

from pathlib import Path

import pytest

from pipelines.sources import list_documents
from vectoray.core.errors import InvalidRequest

LIMIT = 100


def sources_of(root: Path) -> list[str]:
    return [document.source for document in list_documents(root, max_file_bytes=LIMIT).documents]


def test_documents_are_found_at_any_depth_in_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.md", "a/z.txt", "a/b/c.PDF", "page.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert sources_of(tmp_path) == ["a/b/c.PDF", "a/z.txt", "b.md", "page.html"]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "notes.md").write_text("x")
    (tmp_path / ".hidden.md").write_text("x")
    (tmp_path / "shown.md").write_text("x")
    assert sources_of(tmp_path) == ["shown.md"]


def test_one_document_can_be_named_itself(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("x")
    assert sources_of(tmp_path / "one.txt") == ["one.txt"]


def test_other_formats_are_skipped_and_large_files_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_text("x")
    (tmp_path / "large.txt").write_text("x" * (LIMIT + 1))
    (tmp_path / "fits.txt").write_text("x" * LIMIT)
    listing = list_documents(tmp_path, max_file_bytes=LIMIT)
    assert [document.source for document in listing.documents] == ["fits.txt"]
    assert [(item.source, item.reason.split(":")[0]) for item in listing.skipped] == [
        ("data.bin", "Not a document")
    ]
    assert [(item.source, item.reason.split(":")[0]) for item in listing.refused] == [
        ("large.txt", "Too large")
    ]


def test_links_to_folders_do_not_make_a_circle_and_broken_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere")
    listing = list_documents(tmp_path, max_file_bytes=LIMIT)
    assert [document.source for document in listing.documents] == ["a.md"]
    assert [item.source for item in listing.refused] == ["gone.md"]


def test_a_name_that_is_not_text_is_refused_in_printable_form(tmp_path: Path) -> None:
    (tmp_path / "bad\udcff.md").write_text("x")
    (refused,) = list_documents(tmp_path, max_file_bytes=LIMIT).refused
    assert refused.source == "bad\\udcff.md"


def test_a_path_that_is_not_there_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="There is no file or folder"):
        list_documents(tmp_path / "missing", max_file_bytes=LIMIT)


def test_the_same_file_has_the_same_identity_however_it_is_addressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("x")
    monkeypatch.chdir(tmp_path)
    uris = {
        list_documents(root, max_file_bytes=LIMIT).documents[0].uri
        for root in (tmp_path, tmp_path / "docs", Path("docs"), Path("docs/../docs/a.md"))
    }
    assert uris == {(tmp_path / "docs" / "a.md").as_uri()}
