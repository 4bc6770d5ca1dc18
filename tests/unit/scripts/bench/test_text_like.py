"""Made vectors: unit length, the same each time, near what they are made of."""

import numpy as np

from scripts.bench.text_like import compare, more_like, unit
from vectoray.core.model import FloatMatrix


def around_centres(rows: int) -> FloatMatrix:
    random = np.random.default_rng(0)
    centres = random.standard_normal((20, 32))
    noise = 0.5 * random.standard_normal((rows, 32))
    return unit((centres[random.integers(0, 20, rows)] + noise).astype(np.float32))


def test_made_vectors_are_of_unit_length_and_nearer_to_their_source_than_others() -> None:
    real = around_centres(2000)
    made, sources = more_like(real, 500, seed=1)
    assert made.shape == (500, 32)
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-6)
    closeness = (made * real[sources]).sum(axis=1)
    assert np.median(closeness) > 0.8
    assert np.median((made * real[sources[::-1]]).sum(axis=1)) < 0.5


def test_the_same_seed_makes_the_same_vectors() -> None:
    real = around_centres(1000)
    assert np.array_equal(more_like(real, 100, seed=1)[0], more_like(real, 100, seed=1)[0])
    assert not np.array_equal(more_like(real, 100, seed=1)[0], more_like(real, 100, seed=2)[0])


def test_a_comparison_tells_vectors_apart_that_lie_elsewhere() -> None:
    real = around_centres(4000)
    compared = compare(real[200:], real[:200], seed=1)
    assert 0.3 < compared.share < 0.7
    assert abs(compared.doubled.tenth / compared.real.tenth - 1) < 0.1
    assert compared.real.nearest < compared.real.tenth < compared.real.hundredth
