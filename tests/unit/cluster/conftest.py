"""Collections and their points, for tests of the engine over real shards in temporary folders."""

from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from cluster.placement import place
from cluster.writes import Write
from storage.settings import StorageSettings
from vectoray.core.model import Collection, FloatMatrix, IndexOptions, Metric, PointBatch

DIMENSION = 4
# Nothing is sealed, merged or flushed by itself.
QUIET = StorageSettings(seal_rows=1_000_000, flush_rows=1_000_000, flush_interval_s=86_400)


def collection_of(
    shards: int, hosts: int = 1, *, number: int = 0, metric: Metric = Metric.COSINE
) -> Collection:
    """A collection; another ``number`` makes another one."""
    return Collection(
        id=str(UUID(int=number)),
        name=f"docs-{number}",
        owner="local",
        dimension=DIMENSION,
        metric=metric,
        index=IndexOptions(),
        hosts=place(str(UUID(int=number)), shards, hosts),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        updated_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def vectors_of(rows: int, *, seed: int = 0) -> FloatMatrix:
    """Vectors of few small values, so that scores tie; none is zero: float32, shape (rows, DIMENSION)."""
    matrix = np.random.default_rng(seed).integers(-2, 3, (rows, DIMENSION)).astype(np.float32)
    matrix[~matrix.any(axis=1), 0] = 1
    return matrix


def batch_of(ids: list[str], *, seed: int = 0) -> PointBatch:
    """A batch whose texts are the ids."""
    payloads = [b'{"row":%d}' % row for row in range(len(ids))]
    return PointBatch(ids, vectors_of(len(ids), seed=seed), payloads, list(ids))


def write_of(ids: list[str], *, seed: int = 0) -> Write:
    """`batch_of`, to be written whatever is there."""
    return Write(batch_of(ids, seed=seed))
