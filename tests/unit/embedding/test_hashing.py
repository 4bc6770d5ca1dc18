"""The model without weights."""

from pathlib import Path

import numpy as np
import pytest

from vectoray.core.errors import InvalidRequest
from vectoray.embedding import EmbeddingModel, ModelRegistry


@pytest.fixture
def hashing(tmp_path: Path) -> EmbeddingModel:
    return ModelRegistry().load("hashing-384", cache_dir=tmp_path)


def test_vectors_have_unit_length_even_without_words(hashing: EmbeddingModel) -> None:
    vectors = hashing.embed(["", "...", "one", "one two three"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


def test_shared_words_make_texts_similar_whatever_their_case(hashing: EmbeddingModel) -> None:
    a, same, near, far = hashing.embed(
        [
            "The cat sat on the mat",
            "the CAT sat on the mat!",
            "the cat sat on a chair",
            "quarterly revenue grew",
        ]
    )
    assert a @ same == pytest.approx(1)
    assert 0.5 < a @ near < 0.95
    assert abs(a @ far) < 0.3


def test_vectors_are_the_same_in_every_process(hashing: EmbeddingModel) -> None:
    vector = hashing.embed(["vector"])[0]
    assert np.flatnonzero(vector).tolist() == [370]


def test_words_beyond_the_limit_are_ignored(hashing: EmbeddingModel) -> None:
    limit = "word " * hashing.max_tokens
    np.testing.assert_array_equal(*hashing.embed([limit, limit + "other"]))


def test_no_texts_give_no_vectors(hashing: EmbeddingModel) -> None:
    assert hashing.embed([]).shape == (0, 384)


def test_text_that_is_not_unicode_is_refused(hashing: EmbeddingModel) -> None:
    with pytest.raises(InvalidRequest, match=r"texts\[1\] is not valid Unicode"):
        hashing.embed(["fine", "\ud800"])
