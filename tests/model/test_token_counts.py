"""Tokens are counted as the model reads them."""

import pytest

from pipelines.chunk import chunk
from pipelines.parse import Block, ParsedDocument
from vectoray.core.errors import InvalidRequest
from vectoray.core.ingestion import Chunking, ChunkingStrategy
from vectoray.embedding import ModelRegistry, TokenCounter


@pytest.fixture(scope="module")
def tokens() -> TokenCounter:
    counter = ModelRegistry().token_counter("all-MiniLM-L6-v2")
    assert counter is not None
    return counter


def test_counts_have_the_models_own_tokens_and_no_limit(tokens: TokenCounter) -> None:
    assert tokens.max_tokens == 256
    assert tokens.count_tokens(["", "hello world", "one " * 1000]) == [2, 4, 1002]


def test_a_text_that_is_not_unicode_is_refused(tokens: TokenCounter) -> None:
    with pytest.raises(InvalidRequest, match=r"texts\[1\]"):
        tokens.count_tokens(["a", "\ud800"])


@pytest.mark.parametrize("text", ["漢字仮名交じり文", "🎉", "x1-", "word ", "ǆ"])
def test_no_chunk_of_any_script_is_beyond_what_the_model_reads(tokens: TokenCounter, text: str) -> None:
    source = ParsedDocument(title=None, blocks=(Block((text * 3000).strip(), ("A heading", "文" * 100)),))
    chunks = chunk(source, Chunking(ChunkingStrategy.SENTENCE, 2000, 50), tokens=tokens)
    counts = tokens.count_tokens([piece.embedded for piece in chunks])
    assert max(counts) <= 256
    assert sum(counts) / len(counts) > 100
