"""How much one caller may ask for, and what a new collection gets when they do not say."""

from dataclasses import dataclass

from vectoray.embedding import ModelInfo


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that every API family shares.

    Attributes:
        max_dimension: Largest dimension of a new collection.
        max_batch_points: Most points in one insert.
    """

    max_dimension: int = 16384
    max_batch_points: int = 10_000


@dataclass(frozen=True, slots=True)
class CollectionDefaults:
    """What a new collection gets.

    Attributes:
        shards: Number of shards.
        embedding_model: Given to collections whose dimension is the model's, so that text can search them.
    """

    shards: int = 1
    embedding_model: ModelInfo | None = None
