"""A parsed document to chunks that an embedding model reads whole. Pure functions."""

from pipelines.chunk.chunker import Chunk, chunk

__all__ = ["Chunk", "chunk"]
