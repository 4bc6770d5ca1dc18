"""More vectors like those of real text than there is real text, and how like them they are.

A new vector lies between a real one and one of its neighbours, with noise: a pure mixture would lie closer to
the real ones than they lie to each other, and noise alone would lie outside of where text is. How much of
each was chosen so that half the real vectors, doubled this way, have about the neighbourhoods of all of them;
`compare` measures that again.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vectoray.core.model import FloatMatrix

# The neighbour is the nearest of every 16th vector: about the 16th nearest of all.
_POOL_SHARE = 16
_MIXTURE = (0.1, 0.9)
# Length of the noise, as a share of the distance between the two.
_NOISE = 0.3
_BLOCK_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Neighbourhoods:
    """How queries see a set of unit vectors.

    Attributes:
        nearest: Median distance (euclidean) of the nearest vector.
        tenth: Median distance of the tenth nearest.
        hundredth: Median distance of the hundredth nearest.
        dimension: Median local intrinsic dimension, estimated from the 10th to the 100th neighbour (Levina
            and Bickel 2004).
        hubness: Skewness of how often each vector is among the ten nearest (Radovanovic et al. 2010).
    """

    nearest: float
    tenth: float
    hundredth: float
    dimension: float
    hubness: float

    def __str__(self) -> str:
        return (
            f"distance of the 1st/10th/100th neighbour {self.nearest:.3f}/{self.tenth:.3f}/"
            f"{self.hundredth:.3f}, local dimension {self.dimension:.1f}, hubness {self.hubness:.1f}"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Real vectors against half of them doubled.

    Attributes:
        share: Of made ones among the ten nearest of real queries; 0.5 if they were indistinguishable.
    """

    real: Neighbourhoods
    doubled: Neighbourhoods
    share: float


def unit(vectors: FloatMatrix) -> FloatMatrix:
    """The same directions, of length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def more_like(real: FloatMatrix, count: int, *, seed: int) -> tuple[FloatMatrix, npt.NDArray[np.int32]]:
    """New vectors, and the real one that each is made of.

    Args:
        real: float32, shape (n, dimension), unit length, n of some hundreds at least.
        count: How many to make.
        seed: Same seed, same vectors.

    Returns:
        float32, shape (count, dimension), unit length; int32, shape (count,), rows of ``real``.
    """
    random = np.random.default_rng(seed)
    made = np.empty((count, real.shape[1]), dtype=np.float32)
    sources = np.empty(count, dtype=np.int32)
    for start in range(0, count, _BLOCK_ROWS):
        rows = random.integers(0, len(real), min(_BLOCK_ROWS, count - start))
        pool = random.choice(len(real), len(real) // _POOL_SHARE, replace=False)
        closeness = real[rows] @ real[pool].T
        closeness[pool == rows[:, np.newaxis]] = -2
        neighbours = real[pool[closeness.argmax(axis=1)]]
        mixture = random.uniform(*_MIXTURE, (len(rows), 1)).astype(np.float32)
        apart = np.linalg.norm(real[rows] - neighbours, axis=1, keepdims=True)
        noise = unit(random.standard_normal((len(rows), real.shape[1]), dtype=np.float32))
        between = (1 - mixture) * real[rows] + mixture * neighbours
        made[start : start + len(rows)] = unit(between + _NOISE * apart * noise)
        sources[start : start + len(rows)] = rows
    return made, sources


def compare(real: FloatMatrix, queries: FloatMatrix, *, seed: int) -> Comparison:
    """How much half the real vectors, doubled, look like all of them to queries that are in neither."""
    half = len(real) // 2
    made, _ = more_like(real[:half], len(real) - half, seed=seed)
    of_real, _ = _neighbourhoods(real, queries)
    of_doubled, nearest = _neighbourhoods(np.concatenate([real[:half], made]), queries)
    return Comparison(of_real, of_doubled, float(np.mean(nearest >= half)))


def _neighbourhoods(
    vectors: FloatMatrix, queries: FloatMatrix
) -> tuple[Neighbourhoods, npt.NDArray[np.int64]]:
    """What the queries see, and each query's ten nearest rows."""
    distances, rows = [], []
    for start in range(0, len(queries), 256):
        closeness = queries[start : start + 256] @ vectors.T
        best = np.argpartition(-closeness, 100, axis=1)[:, :100]
        values = np.take_along_axis(closeness, best, axis=1)
        order = np.argsort(-values, axis=1)
        rows.append(np.take_along_axis(best, order[:, :10], axis=1))
        distances.append(np.sqrt(np.maximum(2 - 2 * np.take_along_axis(values, order, axis=1), 1e-12)))
    away, nearest = np.concatenate(distances), np.concatenate(rows)
    times = np.bincount(nearest.ravel(), minlength=len(vectors))
    hubness = float(np.mean((times - times.mean()) ** 3) / times.std() ** 3)
    dimensions = -1 / np.mean(np.log(away[:, 9:99] / away[:, 99:]), axis=1)
    median = np.median(away, axis=0)
    found = Neighbourhoods(
        float(median[0]), float(median[9]), float(median[99]), float(np.median(dimensions)), hubness
    )
    return found, nearest
