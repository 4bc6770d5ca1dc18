"""What a hybrid search asks, by vector and by words at once, and the candidates that shards answer with.

How candidates become one ranked answer is in ``vectoray.core.fusion``.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

from vectoray.core.errors import InvalidRequest
from vectoray.core.filters import Filter
from vectoray.core.model import FloatVector

# Far beyond any use, and small enough that 1 / (k + rank) tells any two ranks apart.
_MAX_K = 1_000_000


@dataclass(frozen=True, slots=True)
class Weighted:
    """Scores of each retriever, brought to the range 0 to 1, and their weighted mean.

    Only the proportion of the weights matters. A retriever of weight 0 is not asked at all: it neither scores
    rows nor finds any.

    Raises:
        InvalidRequest: A weight is negative or no finite number, or both are 0.
    """

    vector_weight: float = 0.7
    text_weight: float = 0.3

    def __post_init__(self) -> None:
        for name in ("vector_weight", "text_weight"):
            weight = getattr(self, name)
            if not 0 <= weight < math.inf:
                raise InvalidRequest(f"'{name}' must be a finite number of at least 0.", {"at": name})
        if not 0 < self.vector_weight + self.text_weight < math.inf:
            raise InvalidRequest("'vector_weight' and 'text_weight' must have a finite sum above 0.")


@dataclass(frozen=True, slots=True)
class ReciprocalRank:
    """The sum, over the retrievers, of ``1 / (k + rank)``. Scores count only as far as they order rows.

    Attributes:
        k: The higher, the less the first places stand out; 60 in the paper that `vectoray.core.fusion` names.

    Raises:
        InvalidRequest: ``k`` is not within 1 to 1,000,000.
    """

    k: int = 60

    def __post_init__(self) -> None:
        if not 1 <= self.k <= _MAX_K:
            raise InvalidRequest(f"'k' must be within 1 to {_MAX_K}.", {"at": "k"})


Fusion: TypeAlias = Weighted | ReciprocalRank


@dataclass(frozen=True, slots=True)
class HybridQuery:
    """A question to a collection, by vector, by text, or by both.

    Attributes:
        vector: float32, shape (dimension,).
        text: The words to look for. One without any word finds nothing.
        top_k: How many hits at most.
        filter: Only points whose payload matches.
        include_vectors: Whether hits carry their vector.
        fusion: How the two become one score.

    Raises:
        InvalidRequest: There is neither vector nor text, or what there is has weight 0.
    """

    vector: FloatVector | None = None
    text: str | None = None
    top_k: int = 10
    filter: Filter | None = None
    include_vectors: bool = False
    fusion: Fusion = Weighted()

    def __post_init__(self) -> None:
        if self.vector is None and self.text is None:
            raise InvalidRequest("A hybrid search needs 'vector', 'text' or both.")
        if not (self.by_vector or self.by_text):
            given, weight = ("text", "text_weight") if self.vector is None else ("vector", "vector_weight")
            raise InvalidRequest(
                f"The search has only '{given}', and its weight is 0.", {"at": weight, "given": given}
            )

    @property
    def by_vector(self) -> bool:
        """Whether rows are looked for by vector: there is one, and it has weight."""
        has_weight = not isinstance(self.fusion, Weighted) or self.fusion.vector_weight > 0
        return self.vector is not None and has_weight

    @property
    def by_text(self) -> bool:
        """Whether rows are looked for by text: there is one, and it has weight."""
        has_weight = not isinstance(self.fusion, Weighted) or self.fusion.text_weight > 0
        return self.text is not None and has_weight


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that may be among the hits, as its shard found it.

    Both scores are the row's own, whichever retriever found it. A retriever lists no row that has no score.

    Attributes:
        vector_score: Exact float32 score under the collection's metric; None when the query has no vector.
        text_score: BM25 score, 0 when the row has no word of the query; None when the query has no text.
        vector: float32, shape (dimension,), when the query asked for vectors.
    """

    id: str
    vector_score: float | None
    text_score: float | None
    payload: bytes
    text: str | None
    vector: FloatVector | None = None
