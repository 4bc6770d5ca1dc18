"""Vectors of chunks: from the cache where their text has been embedded before, else from the model."""

import hashlib
from collections.abc import Sequence

import numpy as np

from pipelines.vector_cache import VectorCache
from vectoray.core.model import FloatMatrix
from vectoray.embedding import EmbeddingModel
from vectoray.embedding.model import check_texts

# Texts that the model gets in one call: enough to keep every core busy to the end, few enough that little is
# lost when the process is killed before their vectors are kept.
_TEXTS_AT_ONCE = 1024


class ChunkEmbedder:
    """One loaded model and, perhaps, a cache that outlives the process.

    Attributes:
        reused: Texts whose vectors were in the cache, so far.
        computed: Texts that the model was given, so far.
    """

    def __init__(self, model: EmbeddingModel, cache: VectorCache | None = None) -> None:
        """Embed with ``model``; what ``cache`` has of another model is never taken for its own."""
        self.reused = 0
        self.computed = 0
        self._model = model
        self._cache = cache
        facts = (model.name, model.fingerprint, model.dimension, model.max_tokens)
        self._model_digest = hashlib.sha256(repr(facts).encode()).digest()

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._model.dimension

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """The vectors of ``texts``, in their order: float32, shape (len(texts), dimension).

        A text that is there twice is embedded once. The more texts a call has, the better the cores are used;
        a thousand are enough.

        Raises:
            InvalidRequest: A text is not valid Unicode.
            VectorayError: As `EmbeddingModel.embed`.
        """
        check_texts(texts)
        keys = [self._key(text) for text in texts]
        missing = dict(zip(keys, texts, strict=True))
        places = {key: place for place, key in enumerate(missing)}
        vectors = np.empty((len(places), self.dimension), dtype=np.float32)
        if self._cache is not None:
            for key, vector in self._cache.get(list(places)).items():
                vectors[places[key]] = vector
                del missing[key]
        self.reused += len(places) - len(missing)
        self._compute(missing, vectors, places)
        return vectors[[places[key] for key in keys]]

    def _compute(self, missing: dict[bytes, str], vectors: FloatMatrix, places: dict[bytes, int]) -> None:
        keys = list(missing)
        for start in range(0, len(keys), _TEXTS_AT_ONCE):
            some = keys[start : start + _TEXTS_AT_ONCE]
            computed = self._model.embed([missing[key] for key in some])
            vectors[[places[key] for key in some]] = computed
            self.computed += len(some)
            if self._cache is not None:
                self._cache.put(some, computed)

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(self._model_digest + hashlib.sha256(text.encode()).digest()).digest()
