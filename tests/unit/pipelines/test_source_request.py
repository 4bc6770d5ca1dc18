"""Which source a name means, and what is said of names that mean none."""

from pathlib import Path

import pytest

from pipelines.dry_run import forecast
from pipelines.run import IngestRequest
from pipelines.settings import PipelineSettings
from pipelines.source_request import SourceRequest
from pipelines.sources import FileDocument, TextColumns, TextDocument, WebDocument
from vectoray.core.errors import InvalidRequest
from vectoray.core.ingestion import ChunkingStrategy

SETTINGS = PipelineSettings()


def test_a_folder_a_file_a_list_and_a_table_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("https://docs.example/a\n")
    table = tmp_path / "t.csv"
    table.write_text("body\nSome text.\n")
    (first, second) = SourceRequest(str(tmp_path)).listed(SETTINGS)
    assert isinstance(first, FileDocument)
    assert isinstance(second, FileDocument)
    assert [item.source for item in SourceRequest(str(path)).listed(SETTINGS)] == ["a.txt"]
    assert list(SourceRequest(str(path), urls=True).listed(SETTINGS)) == [
        WebDocument("https://docs.example/a")
    ]
    (row,) = SourceRequest(str(table), columns=TextColumns("body")).listed(SETTINGS)
    assert isinstance(row, TextDocument)


def test_a_url_is_a_page_unless_it_looks_like_a_sitemap() -> None:
    page = "https://docs.example/guide/sitemaps-explained.html"
    assert list(SourceRequest(page).listed(SETTINGS)) == [WebDocument(page)]


@pytest.mark.parametrize(
    "path", ["sitemap.xml", "sitemap", "sitemap.txt", "sitemap_index.xml.gz", "a/feed.xml"]
)
def test_a_sitemap_is_fetched_by_the_rules_of_pages(path: str) -> None:
    url = f"http://127.0.0.1/{path}"
    (found,) = SourceRequest(url).listed(SETTINGS)
    assert found.source == url
    assert "not" in getattr(found, "reason", "")


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (SourceRequest("/nonexistent"), "There is no file or folder '/nonexistent'."),
        (SourceRequest("/nonexistent", urls=True), "There is no file '/nonexistent'."),
        (SourceRequest("/", columns=TextColumns()), "There is no file '/'."),
    ],
)
def test_what_is_not_there_is_told_early(request_: SourceRequest, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        request_.check(SETTINGS)
    assert refused.value.message == sentence


def test_a_table_without_the_column_is_told_early(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("title\nx\n")
    with pytest.raises(InvalidRequest, match="has no column 'body'"):
        SourceRequest(str(table), columns=TextColumns("body")).check(SETTINGS)


def test_a_url_with_a_password_is_refused_without_repeating_it() -> None:
    for place in ("https://me:secret@docs.example/", "https://me:secret@docs.example/sitemap.xml"):
        with pytest.raises(InvalidRequest) as refused:
            SourceRequest(place).check(SETTINGS)
        assert "secret" not in refused.value.message


def test_chunking_of_a_request_goes_before_the_settings() -> None:
    request = IngestRequest(SourceRequest("."), None, strategy=ChunkingStrategy.PARAGRAPH, size_chars=100)
    chunking = request.applied_to(SETTINGS).chunking
    assert (chunking.strategy, chunking.size_chars) == (ChunkingStrategy.PARAGRAPH, 100)
    assert chunking.overlap_chars == SETTINGS.chunking.overlap_chars
    with pytest.raises(InvalidRequest, match="chunk_overlap is 50"):
        IngestRequest(SourceRequest("."), None, size_chars=50).applied_to(SETTINGS)


def test_a_forecast_reads_everything_and_counts_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Some text.")
    (tmp_path / "b.md").write_text("# More\n\ntext")
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    (tmp_path / "photo.jpg").write_bytes(b"x")
    found = forecast(SourceRequest(str(tmp_path)), SETTINGS)
    assert (found.documents, found.documents_failed, found.files_skipped, found.chunks) == (3, 1, 1, 2)
    assert found.kinds == {"TEXT": 1, "MARKDOWN": 1, "PDF": 1}
    assert [item.source for item in found.failed] == ["bad.pdf"]
