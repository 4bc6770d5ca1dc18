"""What reading a document again and again does to a collection."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from cluster.local_engine import LocalEngine
from pipelines.blocking_engine import BlockingEngine
from pipelines.chunk_settings import ChunkingSettings
from pipelines.parcels import compare, embed, read
from pipelines.parcels import store as store_parcel
from pipelines.parse import MediaType, parse
from pipelines.report import Report
from pipelines.settings import PipelineSettings
from pipelines.sources import FileDocument, LocalFolder, TextDocument, Unread
from pipelines.stages import chunk_id, read_document
from vectoray.core.ingestion import ChunkingStrategy
from vectoray.core.model import Collection, IndexOptions, Metric
from vectoray.embedding import ModelRegistry

SETTINGS = PipelineSettings(
    chunking=ChunkingSettings(strategy=ChunkingStrategy.PARAGRAPH, size_chars=100, overlap_chars=0),
    embedding_model="hashing-384",
)
COLLECTION = Collection(
    id="11111111-1111-4111-8111-111111111111",
    name="docs",
    owner="local",
    dimension=384,
    metric=Metric.COSINE,
    index=IndexOptions(),
    hosts=(0, 0),
    created_at=datetime.now(UTC),
    updated_at=datetime.now(UTC),
    embedding_model="hashing-384",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlockingEngine]:
    engine = BlockingEngine(LocalEngine(tmp_path / "data"))
    engine.create(COLLECTION)
    yield engine
    engine.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


def ingest(folder: Path, store: BlockingEngine) -> Report:
    """All stages, one after the other in this process."""
    model = ModelRegistry().load("hashing-384", cache_dir=folder)
    report = Report()
    for parcel in read(LocalFolder(folder, max_file_bytes=100_000), SETTINGS, parse=parse):
        compared = compare(parcel, COLLECTION, store)
        report.add(store_parcel(embed(compared, model.embed), COLLECTION, store))
    return report


def paragraphs(count: int) -> str:
    return "\n\n".join(
        f"Paragraph {number} talks about subject {number}. " + "word " * 12 for number in range(count)
    )


def test_a_document_is_stored_with_what_a_search_shows(folder: Path, store: BlockingEngine) -> None:
    path = folder / "guide.md"
    path.write_text("# Guide\n\n## Setup\n\nInstall it first.\n")
    report = ingest(folder, store)
    assert (report.documents, report.chunks_written, report.failed) == (1, 1, [])
    (point,) = store.get(COLLECTION, [chunk_id(path.as_uri(), 0)])
    assert point is not None
    assert point.text == "Install it first."
    assert orjson.loads(point.payload) == {
        "title": "Guide",
        "content": "Install it first.",
        "source": "guide.md",
        "chunk_index": 0,
        "start_char": 0,
        "end_char": 17,
        "headings": ["Guide", "Setup"],
    }


def test_reading_the_same_folder_again_changes_nothing(folder: Path, store: BlockingEngine) -> None:
    path = folder / "a.txt"
    path.write_text(paragraphs(5))
    first = ingest(folder, store)
    assert first.chunks_written == 5
    before = store.get(COLLECTION, [chunk_id(path.as_uri(), index) for index in range(5)])

    again = ingest(folder, store)

    assert (again.documents, again.chunks_written, again.chunks_unchanged, again.chunks_removed) == (
        1,
        0,
        5,
        0,
    )
    after = store.get(COLLECTION, [chunk_id(path.as_uri(), index) for index in range(5)])
    assert [point and point.seq for point in after] == [point and point.seq for point in before]


def test_only_changed_chunks_are_written_again(folder: Path, store: BlockingEngine) -> None:
    path = folder / "a.txt"
    path.write_text(paragraphs(5))
    ingest(folder, store)
    path.write_text(paragraphs(5).replace("subject 3", "subject X"))
    report = ingest(folder, store)
    assert (report.chunks_written, report.chunks_unchanged, report.chunks_removed) == (1, 4, 0)
    (point,) = store.get(COLLECTION, [chunk_id(path.as_uri(), 3)])
    assert point is not None
    assert "subject X" in (point.text or "")


def test_chunks_whose_place_moved_are_written_again(folder: Path, store: BlockingEngine) -> None:
    path = folder / "a.txt"
    path.write_text(paragraphs(5))
    ingest(folder, store)
    path.write_text(paragraphs(5).replace("subject 3", "another subject"))
    assert ingest(folder, store).chunks_written == 2
    (point,) = store.get(COLLECTION, [chunk_id(path.as_uri(), 4)])
    assert point is not None
    payload = orjson.loads(point.payload)
    text = parse(path.read_bytes(), media_type=MediaType.TEXT).text
    assert text[payload["start_char"] : payload["end_char"]] == point.text


def test_chunks_beyond_the_end_of_a_shorter_document_are_removed(folder: Path, store: BlockingEngine) -> None:
    path = folder / "a.txt"
    path.write_text(paragraphs(150))
    assert ingest(folder, store).chunks_written == 150
    path.write_text(paragraphs(2))
    report = ingest(folder, store)
    assert (report.chunks_written, report.chunks_unchanged, report.chunks_removed) == (0, 2, 148)
    stored = store.get(COLLECTION, [chunk_id(path.as_uri(), index) for index in range(150)])
    assert [index for index, point in enumerate(stored) if point is not None] == [0, 1]


def test_a_bad_document_is_reported_by_name_and_the_others_are_stored(
    folder: Path, store: BlockingEngine
) -> None:
    (folder / "bad.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    (folder / "empty.txt").write_text("  \n ")
    (folder / "good.txt").write_text("Something to find.")
    report = ingest(folder, store)
    assert (report.documents, report.chunks_written) == (3, 1)
    assert [item.source for item in report.failed] == ["bad.pdf", "empty.txt"]
    assert all(item.reason.endswith(".") and str(folder) not in item.reason for item in report.failed)


def test_a_document_that_fails_keeps_what_an_earlier_run_stored(folder: Path, store: BlockingEngine) -> None:
    path = folder / "a.txt"
    path.write_text("Something to find.")
    ingest(folder, store)
    path.write_bytes(b"\x00\x01\x02 binary")
    report = ingest(folder, store)
    assert [item.source for item in report.failed] == ["a.txt"]
    assert store.get(COLLECTION, [chunk_id(path.as_uri(), 0)]) != [None]


def test_a_file_that_vanishes_meanwhile_is_reported(folder: Path, store: BlockingEngine) -> None:
    gone = FileDocument("file:///gone.txt", "gone.txt", str(folder / "gone.txt"), str(folder))
    (parcel,) = read([gone], SETTINGS, parse=parse)
    assert parcel == [Unread("gone.txt", "The file cannot be read: No such file or directory.")]


def test_a_row_of_a_table_is_stored_with_its_metadata() -> None:
    row = TextDocument("file:///t.csv#id=7", "t.csv#7", "Some text.", "A title", b'{"year":1999}')
    (chunk,) = read_document(row, SETTINGS, parse=parse)
    assert orjson.loads(chunk.payload) == {
        "title": "A title",
        "content": "Some text.",
        "source": "t.csv#7",
        "chunk_index": 0,
        "start_char": 0,
        "end_char": 10,
        "metadata": {"year": 1999},
    }
