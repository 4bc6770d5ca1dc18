"""The example documents: all but one are read, and questions find the right one with the real model."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.chunk import chunk
from pipelines.chunk_settings import ChunkingSettings
from pipelines.parse import ParseError, media_type_of, parse
from vectoray.core.model import FloatMatrix
from vectoray.embedding import EmbeddingModel

CORPUS = Path(__file__).parents[2] / "examples" / "corpus"
DAMAGED = "damaged-report.pdf"


def chunks_of(path: Path) -> list[str]:
    kind = media_type_of(path)
    assert kind is not None
    parsed = parse(path.read_bytes(), media_type=kind)
    return [piece.embedded for piece in chunk(parsed, ChunkingSettings().chunking())]


@pytest.fixture(scope="module")
def corpus(minilm: EmbeddingModel) -> tuple[list[str], FloatMatrix]:
    """The file of each chunk, and its vector."""
    rows = [
        (path.name, text)
        for path in sorted(CORPUS.iterdir())
        if path.name != DAMAGED
        for text in chunks_of(path)
    ]
    return [name for name, _ in rows], minilm.embed([text for _, text in rows])


def test_every_document_has_a_title_or_is_plain_text() -> None:
    for path in CORPUS.iterdir():
        kind = media_type_of(path)
        assert kind is not None
        if path.name != DAMAGED:
            assert parse(path.read_bytes(), media_type=kind).title or path.suffix == ".txt"


def test_what_surrounds_the_pages_is_not_ingested() -> None:
    text = " ".join(" ".join(chunks_of(path)) for path in CORPUS.glob("*.html"))
    for boilerplate in ("Sign in", "cookies", "newsletter", "Pricing", "Imprint", "Back to top", "helpful"):
        assert boilerplate not in text


def test_the_damaged_document_is_refused_with_a_reason() -> None:
    with pytest.raises(ParseError, match=r"^The PDF is damaged: no page could be read\.$"):
        chunks_of(CORPUS / DAMAGED)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What happens to my data if the power fails right after a write?", "write-ahead-log.txt"),
        ("Is it safe to send the same request twice?", "rest-api-design.html"),
        ("Somebody published our secret key, what now?", "access-keys.md"),
        ("How often should we try to bring the service back from a copy?", "backup-and-restore.pdf"),
        ("Why should every piece of a document repeat the end of the piece before?", "chunking.md"),
    ],
)
def test_a_question_finds_the_document_that_answers_it(
    question: str, answer: str, corpus: tuple[list[str], FloatMatrix], minilm: EmbeddingModel
) -> None:
    names, vectors = corpus
    scores = vectors @ minilm.embed([question])[0]
    others = max(score for name, score in zip(names, scores, strict=True) if name != answer)
    assert names[int(np.argmax(scores))] == answer
    assert scores.max() > others + 0.05
