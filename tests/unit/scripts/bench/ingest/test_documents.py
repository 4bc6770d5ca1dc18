"""The documents that are ingested, made of a few web pages."""

from pathlib import Path

import pytest

from scripts.bench.ingest.documents import NoDocuments, page_copies, text_documents


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A folder of ten pages with a text of their own each, and an empty one."""
    folder = tmp_path / "html"
    folder.mkdir()
    for number in range(10):
        words = " ".join(f"Sentence {at} of page {number} is about things." for at in range(60))
        (folder / f"{number}.html").write_text(f"<title>Page</title><main><p>{words}</p></main>")
    (folder / "empty.html").write_text("")
    return folder


def test_pages_are_written_as_text_until_there_are_enough_chunks(pages: Path, tmp_path: Path) -> None:
    found = text_documents(tmp_path / "into", chunks=8, sources=[pages])
    assert found.count == len(list(found.folder.glob("*.txt"))) < 10
    assert found.chunks == len(found.texts) >= 8
    assert 100 < found.mean_tokens < 256


def test_a_text_that_comes_twice_is_one_text_of_two_chunks(pages: Path, tmp_path: Path) -> None:
    once = text_documents(tmp_path / "once", chunks=10**6, sources=[pages])
    twice = text_documents(tmp_path / "twice", chunks=10**6, sources=[pages, pages])
    assert twice.chunks == 2 * once.chunks
    assert len(twice.texts) == len(once.texts)


def test_a_sample_is_of_all_parts(pages: Path, tmp_path: Path) -> None:
    found = text_documents(tmp_path / "into", chunks=10**6, sources=[pages])
    assert found.sample(5) == list(found.texts[:: len(found.texts) // 5][:5])
    assert found.sample(10**6) == found.texts


def test_pages_are_repeated_under_other_names_up_to_a_size(pages: Path, tmp_path: Path) -> None:
    files, size = page_copies(tmp_path / "into", size_bytes=100_000, sources=[pages])
    copies = sorted((tmp_path / "into").iterdir())
    assert files == len(copies) > 10
    assert 100_000 <= size == sum(copy.stat().st_size for copy in copies)
    assert copies[0].samefile(copies[10])
    assert len({copy.read_bytes() for copy in copies[:10]}) == 10


def test_a_machine_without_documents_is_told_which_packages_have_some(tmp_path: Path) -> None:
    with pytest.raises(NoDocuments, match="install the Debian packages"):
        text_documents(tmp_path / "into", chunks=1, sources=[tmp_path])
    with pytest.raises(NoDocuments, match="install the Debian packages"):
        page_copies(tmp_path / "into", size_bytes=1, sources=[tmp_path])
