"""How documents are cut, where nobody says otherwise."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vectoray.core.ingestion import MAX_CHUNK_CHARS, MIN_CHUNK_CHARS, Chunking, ChunkingStrategy


class ChunkingSettings(BaseModel):
    """How web pages, and documents of the command line, become chunks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: ChunkingStrategy = Field(
        default=ChunkingStrategy.SENTENCE,
        description="What is kept whole where it fits: words (fixed_size), sentences (sentence) or "
        "paragraphs (paragraph).",
    )
    size_chars: int = Field(
        default=512,
        ge=MIN_CHUNK_CHARS,
        le=MAX_CHUNK_CHARS,
        description="Characters in a chunk at most. One that has more tokens than the model reads is cut "
        "again.",
    )
    overlap_chars: int = Field(
        default=50,
        ge=0,
        le=MAX_CHUNK_CHARS - 1,
        description="Characters that a chunk repeats from the end of the one before, at most, and never "
        "more than half of size_chars.",
    )

    def chunking(self) -> Chunking:
        """These settings as the core's value."""
        return Chunking(self.strategy, self.size_chars, self.overlap_chars)

    @model_validator(mode="after")
    def _overlap_is_smaller_than_a_chunk(self) -> Self:
        if self.overlap_chars >= self.size_chars:
            raise ValueError("overlap_chars must be smaller than size_chars")
        return self
