"""A deterministic model without weights, for tests and dry runs. It sees words, not meaning.

Feature hashing with signs, after Weinberger et al., "Feature Hashing for Large Scale Multitask Learning"
(2009).
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vectoray.core.model import FloatMatrix, FloatVector
from vectoray.embedding.model import ModelInfo, RunOptions, TokenCounter, check_texts

_WORD = re.compile(r"\w+")


class HashingModel:
    """Counts lower-cased words in signed buckets: texts that share words get similar vectors."""

    def __init__(self, info: ModelInfo) -> None:
        self.name = info.name
        self.dimension = info.dimension
        self.max_tokens = info.max_tokens
        self.fingerprint = f"hashing-{info.version}"

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """The vectors of ``texts``, as `EmbeddingModel.embed`; a token is a word."""
        check_texts(texts)
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            self._count_words(text, vector)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many words each text has, as `vectoray.embedding.model.TokenCounter`."""
        check_texts(texts)
        return [len(_WORD.findall(text)) for text in texts]

    def _count_words(self, text: str, vector: FloatVector) -> None:
        for word in _WORD.findall(text.lower())[: self.max_tokens]:
            # Python's own hash() differs from process to process.
            digest = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
            sign = 1 if digest & 1 else -1
            vector[(digest >> 1) % self.dimension] += sign
        if not vector.any():
            vector[0] = 1


def load(info: ModelInfo, cache_dir: Path, run: RunOptions) -> HashingModel:  # noqa: ARG001
    """Make the model; it needs no cache and runs on anything."""
    return HashingModel(info)


def token_counter(info: ModelInfo) -> TokenCounter:
    """What counts the model's tokens: itself."""
    return HashingModel(info)
