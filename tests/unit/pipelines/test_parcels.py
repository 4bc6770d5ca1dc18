"""Parcels of chunks on their way to a store that refuses, fails, or is cut short."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import cast

import numpy as np
import pytest

from pipelines.chunk_settings import ChunkingSettings
from pipelines.parcels import Parcel, Part, compare, embed, read, store
from pipelines.parse import parse
from pipelines.report import Report
from pipelines.settings import PipelineSettings
from pipelines.sources import Document, Skipped, TextDocument, Unread, WebDocument
from pipelines.stages import chunk_id
from vectoray.core.errors import InvalidRequest, Unavailable
from vectoray.core.ingestion import ChunkingStrategy
from vectoray.core.model import Collection, FloatMatrix, IndexOptions, Metric, Point, PointBatch

SETTINGS = PipelineSettings(
    chunking=ChunkingSettings(strategy=ChunkingStrategy.PARAGRAPH, size_chars=50, overlap_chars=0),
    embed_batch_rows=4,
)
COLLECTION = Collection(
    id="11111111-1111-4111-8111-111111111111",
    name="docs",
    owner="local",
    dimension=2,
    metric=Metric.COSINE,
    index=IndexOptions(),
    hosts=(0,),
    created_at=datetime.now(UTC),
    updated_at=datetime.now(UTC),
)


@dataclass
class Memory:
    """A store in memory.

    Attributes:
        refused: Texts that it refuses.
        fails: Whether it is unavailable.
        deletes_left: After so many deletes it is.
    """

    points: dict[str, Point] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    fails: bool = False
    deletes_left: int = 1000

    def get(self, collection: Collection, ids: Sequence[str]) -> list[Point | None]:
        return [self.points.get(point_id) for point_id in ids]

    def upsert(self, collection: Collection, batch: PointBatch) -> int:
        texts = cast("Sequence[str]", batch.texts)
        if self.fails:
            raise Unavailable("The shards do not answer.")
        if set(texts) & set(self.refused):
            raise InvalidRequest("The text is refused.")
        for at, point_id in enumerate(batch.ids):
            vector = batch.vectors[at]
            self.points[point_id] = Point(
                id=point_id,
                seq=at,
                vector=vector,
                payload=batch.payloads[at],
                text=texts[at],
                updated_ms=0,
                created_ms=0,
            )
        return len(batch.ids)

    def delete(self, collection: Collection, ids: Sequence[str]) -> list[str]:
        if self.deletes_left == 0:
            raise Unavailable("The shards do not answer.")
        self.deletes_left -= 1
        return [point_id for point_id in ids if self.points.pop(point_id, None)]


def vectors_of(texts: Sequence[str]) -> FloatMatrix:
    if "bad" in " ".join(texts):
        raise InvalidRequest("The endpoint refuses a text.")
    return np.array([[len(text), 1] for text in texts], dtype=np.float32).reshape(len(texts), 2)


def document(name: str, *paragraphs: str) -> TextDocument:
    return TextDocument(uri=f"t:{name}", source=name, text="\n\n".join(paragraphs))


def many(count: int) -> list[str]:
    return [f"paragraph number {number} with some more words" for number in range(count)]


def ingest(memory: Memory, *documents: TextDocument) -> Report:
    report = Report()
    for parcel in read(documents, SETTINGS, parse=parse):
        report.add(store(embed(compare(parcel, COLLECTION, memory), vectors_of), COLLECTION, memory))
    return report


def sizes(parcels: Sequence[Parcel]) -> list[list[int]]:
    return [[len(item.chunks) for item in parcel if isinstance(item, Part)] for parcel in parcels]


def test_small_documents_share_parcels_and_long_ones_are_cut_at_the_same_places_always() -> None:
    documents = [document("a", "one"), document("b", "two"), document("c", *many(9)), document("d", "x")]
    parcels = list(read(documents, SETTINGS, parse=parse))
    assert sizes(parcels) == [[1, 1], [4], [4], [1, 1]]
    assert parcels == list(read(documents, SETTINGS, parse=parse))


def test_what_is_no_document_travels_with_the_others() -> None:
    listed: list[Document | Unread] = [
        Skipped("a.jpg", "No document."),
        document("empty", " "),
        WebDocument("http://x/"),
        document("b", "x"),
    ]
    (parcel,) = read(listed, SETTINGS, parse=parse)
    assert [item.source for item in parcel] == ["a.jpg", "empty", "http://x/", "b"]
    assert [isinstance(item, Unread) for item in parcel] == [True, True, True, False]


def test_a_text_that_the_model_refuses_fails_its_document_alone() -> None:
    memory = Memory()
    report = ingest(memory, document("a", "fine"), document("b", "a bad text"), document("c", "fine too"))
    assert [(item.source, item.reason) for item in report.failed] == [("b", "The endpoint refuses a text.")]
    assert (report.documents, report.chunks_written) == (3, 2)
    assert sorted(memory.points) == sorted([chunk_id("t:a", 0), chunk_id("t:c", 0)])


def test_a_text_that_the_store_refuses_fails_its_document_alone() -> None:
    memory = Memory(refused=("two",))
    report = ingest(memory, document("a", "one"), document("b", "two"), document("c", "three"))
    assert [item.source for item in report.failed] == ["b"]
    assert len(memory.points) == 2


def test_a_store_that_is_gone_fails_all_documents_and_raises_nothing() -> None:
    report = ingest(Memory(fails=True), document("a", "one"), document("b", "two"))
    assert [item.reason for item in report.failed] == ["The shards do not answer."] * 2
    assert (report.documents, report.documents_failed, report.chunks_written) == (2, 2, 0)


def test_a_long_document_of_which_one_part_fails_is_never_reported_as_done() -> None:
    paragraphs = many(9)
    paragraphs[5] = "a bad text ".ljust(len(paragraphs[5]), "x")
    memory = Memory()
    report = ingest(memory, document("long", *paragraphs), document("other", "x"))
    assert (report.documents, report.documents_failed, report.chunks_written) == (2, 1, 6)
    assert [item.source for item in report.failed] == ["long"]
    again = ingest(memory, document("long", *many(9)), document("other", "x"))
    assert (again.documents_failed, again.chunks_written, len(memory.points)) == (0, 4, 10)


@pytest.mark.parametrize("cut_after", [0, 1, 2])
def test_a_removal_that_was_cut_short_is_completed_by_the_next_run(cut_after: int) -> None:
    memory = Memory()
    ingest(memory, document("a", *many(100)))
    memory.deletes_left = cut_after
    assert ingest(memory, document("a", *many(3))).documents_failed == 1
    memory.deletes_left = 1000
    report = ingest(memory, document("a", *many(3)))
    assert (report.documents_failed, report.chunks_written) == (0, 0)
    assert sorted(memory.points) == sorted(chunk_id("t:a", index) for index in range(3))


def test_a_stage_that_is_repeated_changes_nothing() -> None:
    memory = Memory()
    (parcel,) = read([document("a", "one"), document("b", "two")], SETTINGS, parse=parse)
    embedded = embed(compare(parcel, COLLECTION, memory), vectors_of)
    store(embedded, COLLECTION, memory)
    before = dict(memory.points)
    store(embedded, COLLECTION, memory)
    assert memory.points.keys() == before.keys()
    assert all(
        isinstance(item, Part) and not item.chunks and item.unchanged == 1
        for item in compare(parcel, COLLECTION, memory)
    )


def test_a_report_names_the_first_failures_and_counts_all() -> None:
    report = Report()
    report.add([Unread(str(number), "Why.") for number in range(1500)])
    assert (report.documents_failed, len(report.failed)) == (1500, 1000)
    assert "_unfinished" not in report.to_json()


def test_parts_of_one_document_may_come_in_any_order() -> None:
    parts = [
        item
        for parcel in read([document("long", *many(9))], SETTINGS, parse=parse)
        for item in parcel
        if isinstance(item, Part)
    ]
    report = Report()
    report.add([replace(parts[2], written=1)])
    report.add([replace(parts[0], written=4)])
    assert report.documents == 0
    report.add([replace(parts[1], written=4)])
    assert (report.documents, report.chunks_written) == (1, 9)
