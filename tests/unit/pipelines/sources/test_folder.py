"""Which files of a folder become documents, and what is read of them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.parse import ParseError
from pipelines.sources import FileDocument, LocalFolder, Skipped, Unread
from vectoray.core.errors import InvalidRequest

LIMIT = 100


def documents(root: Path) -> list[FileDocument]:
    return [one for one in LocalFolder(root, max_file_bytes=LIMIT) if isinstance(one, FileDocument)]


def sources_of(root: Path) -> list[str]:
    return [document.source for document in documents(root)]


def unread(root: Path) -> list[Unread]:
    return [one for one in LocalFolder(root, max_file_bytes=LIMIT) if isinstance(one, Unread)]


def test_documents_are_found_at_any_depth_in_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.md", "a/z.txt", "a/b/c.PDF", "page.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert sources_of(tmp_path) == ["a/b/c.PDF", "a/z.txt", "b.md", "page.html"]


def test_folders_are_read_one_by_one_as_the_listing_goes_on(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.txt").write_text("x")
    listing = iter(LocalFolder(tmp_path, max_file_bytes=LIMIT))
    assert next(listing).source == "a/one.txt"
    (tmp_path / "b" / "two.txt").write_text("x")
    assert [one.source for one in listing] == ["b/one.txt", "b/two.txt"]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "notes.md").write_text("x")
    (tmp_path / ".hidden.md").write_text("x")
    (tmp_path / "shown.md").write_text("x")
    assert sources_of(tmp_path) == ["shown.md"]


def test_one_document_can_be_named_itself(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("x")
    (one,) = documents(tmp_path / "one.txt")
    assert (one.source, one.read(max_bytes=LIMIT)) == ("one.txt", b"x")


def test_other_formats_are_skipped_and_large_files_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_text("x")
    (tmp_path / "large.txt").write_text("x" * (LIMIT + 1))
    (tmp_path / "fits.txt").write_text("x" * LIMIT)
    assert sources_of(tmp_path) == ["fits.txt"]
    skipped, refused = unread(tmp_path)
    assert isinstance(skipped, Skipped)
    assert skipped.source == "data.bin"
    assert refused == Unread("large.txt", "Too large: 101 bytes, at most 100 are read.")


def test_a_file_that_claims_two_gigabytes_is_refused_without_being_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse.txt").open("wb") as file:
        file.truncate(2 * 2**30)
    assert unread(tmp_path) == [Unread("sparse.txt", "Too large: 2147483648 bytes, at most 100 are read.")]


def test_a_file_that_grew_since_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("x")
    (document,) = documents(tmp_path)
    (tmp_path / "log.txt").write_text("x" * 101)
    with pytest.raises(ParseError, match="Too large"):
        document.read(max_bytes=LIMIT)


def test_links_to_folders_do_not_make_a_circle_and_broken_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere")
    assert sources_of(tmp_path) == ["a.md"]
    assert unread(tmp_path) == [
        Unread("gone.md", "Not a regular file."),
        Skipped("loop", "A link to a folder."),
    ]


def test_links_within_the_folder_are_followed_and_those_out_of_it_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "docs"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (root / "a.txt").write_text("a")
    (root / "inside.txt").symlink_to("a.txt")
    (root / "outside.txt").symlink_to("../secret.txt")
    assert sources_of(root) == ["a.txt", "inside.txt"]
    assert unread(root) == [Unread("outside.txt", "It is a link that leads out of the folder.")]


def test_a_file_that_became_a_link_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    root = tmp_path / "docs"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (root / "a.txt").write_text("a")
    (document,) = documents(root)
    (root / "a.txt").unlink()
    (root / "a.txt").symlink_to("../secret.txt")
    with pytest.raises(ParseError, match="out of the folder"):
        document.read(max_bytes=LIMIT)


def test_a_pipe_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert unread(tmp_path) == [Unread("pipe.txt", "Not a regular file.")]
    document = FileDocument("file:///pipe.txt", "pipe.txt", str(tmp_path / "pipe.txt"), str(tmp_path))
    with pytest.raises(ParseError, match="Not a regular file"):
        document.read(max_bytes=LIMIT)


def test_a_folder_that_cannot_be_read_is_told_and_the_others_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.txt").write_text("x")
    listed = Path.iterdir

    def iterdir(folder: Path) -> Iterator[Path]:
        if folder.name == "a":
            raise PermissionError(13, "Permission denied")
        return iter(listed(folder))

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert sources_of(tmp_path) == ["b/one.txt"]
    assert unread(tmp_path) == [Unread("a", "The folder cannot be read: Permission denied.")]


def test_a_name_that_is_not_text_is_refused_in_printable_form(tmp_path: Path) -> None:
    (tmp_path / "bad\udcff.md").write_text("x")
    (refused,) = unread(tmp_path)
    assert refused.source == "bad\\udcff.md"


def test_a_path_that_is_not_there_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="There is no file or folder"):
        list(LocalFolder(tmp_path / "missing", max_file_bytes=LIMIT))


def test_the_same_file_has_the_same_identity_however_it_is_addressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("x")
    monkeypatch.chdir(tmp_path)
    uris = {
        documents(root)[0].uri
        for root in (tmp_path, tmp_path / "docs", Path("docs"), Path("docs/../docs/a.md"))
    }
    assert uris == {(tmp_path / "docs" / "a.md").as_uri()}
