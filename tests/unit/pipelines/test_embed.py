"""Vectors of chunks: computed once for each text and model."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipelines.embed import ChunkEmbedder
from pipelines.embedding_workers import EmbeddingWorkers, chunk_embedder, embedding_workers
from pipelines.settings import PipelineSettings
from pipelines.vector_cache import VectorCache
from vectoray.core.errors import InvalidRequest, Unavailable
from vectoray.core.model import FloatMatrix
from vectoray.embedding import EmbeddingSettings, ModelInfo, ModelRegistry

TEXTS = ["one chunk", "another chunk", "a third"]


class CountingModel:
    """The model without weights, which keeps what it was asked for."""

    dimension = 384
    max_tokens = 256

    def __init__(self, name: str = "counting", fingerprint: str = "1") -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.calls: list[list[str]] = []
        self._model = ModelRegistry().load("hashing-384", cache_dir=Path())

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        self.calls.append(list(texts))
        return self._model.embed(texts)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[VectorCache]:
    cache = VectorCache(tmp_path, max_bytes=2**24)
    yield cache
    cache.close()


def test_each_text_is_embedded_once_and_its_vector_is_the_models(cache: VectorCache) -> None:
    model = CountingModel()
    embedder = ChunkEmbedder(model, cache)
    vectors = embedder.embed([*TEXTS, TEXTS[0]])
    np.testing.assert_array_equal(vectors, CountingModel().embed([*TEXTS, TEXTS[0]]))
    assert vectors.dtype == np.float32
    assert model.calls == [TEXTS]
    np.testing.assert_array_equal(embedder.embed(["new", *TEXTS])[1:], vectors[:3])
    assert model.calls == [TEXTS, ["new"]]
    assert (embedder.reused, embedder.computed) == (3, 4)


def test_another_process_reuses_them(cache: VectorCache) -> None:
    ChunkEmbedder(CountingModel(), cache).embed(TEXTS)
    model = CountingModel()
    ChunkEmbedder(model, cache).embed(TEXTS)
    assert model.calls == []


@pytest.mark.parametrize("other", [CountingModel(name="other"), CountingModel(fingerprint="2")])
def test_another_model_or_version_of_it_does_not(cache: VectorCache, other: CountingModel) -> None:
    ChunkEmbedder(CountingModel(), cache).embed(TEXTS)
    ChunkEmbedder(other, cache).embed(TEXTS)
    assert other.calls == [TEXTS]


def test_it_works_without_a_cache() -> None:
    model = CountingModel()
    embedder = ChunkEmbedder(model)
    assert embedder.embed(TEXTS).shape == (3, 384)
    embedder.embed(TEXTS)
    assert len(model.calls) == 2


def test_what_is_computed_is_kept_on_the_way(cache: VectorCache) -> None:
    class Failing(CountingModel):
        def embed(self, texts: Sequence[str]) -> FloatMatrix:
            if self.calls:
                raise Unavailable("no more")
            return super().embed(texts)

    texts = [f"text {number}" for number in range(1500)]
    failing = ChunkEmbedder(Failing(), cache)
    with pytest.raises(Unavailable):
        failing.embed(texts)
    model = CountingModel()
    ChunkEmbedder(model, cache).embed(texts)
    assert sum(map(len, model.calls)) == 1500 - failing.computed < 1000


def test_no_texts_give_no_vectors(cache: VectorCache) -> None:
    model = CountingModel()
    assert ChunkEmbedder(model, cache).embed([]).shape == (0, 384)
    assert model.calls == []


def test_text_that_is_not_unicode_is_refused(cache: VectorCache) -> None:
    with pytest.raises(InvalidRequest, match=r"texts\[1\]"):
        ChunkEmbedder(CountingModel(), cache).embed(["fine", "\ud800"])


@pytest.mark.parametrize("cache_bytes", [0, 2**24])
def test_a_worker_keeps_vectors_in_the_data_folder_if_it_may(tmp_path: Path, cache_bytes: int) -> None:
    pipelines = PipelineSettings(embed_cache_bytes=cache_bytes)
    embedder = chunk_embedder(
        "hashing-384",
        embedding=EmbeddingSettings(),
        pipelines=pipelines,
        data_dir=tmp_path,
        gpu_offered=False,
    )
    embedder.embed(TEXTS)
    assert (tmp_path / "vectors").exists() == bool(cache_bytes)


ON_GPU = ModelInfo("m", "p", 4, 8, runs_on_gpu=True)
ELSEWHERE = ModelInfo("m", "p", 4, 8)


@pytest.mark.parametrize(
    ("model", "gpus", "asked"),
    [
        (ON_GPU, 0, EmbeddingWorkers(2, 0)),
        (ON_GPU, 4, EmbeddingWorkers(4, 0.5)),
        (ELSEWHERE, 4, EmbeddingWorkers(2, 0)),
    ],
)
def test_each_gpu_gets_a_worker_if_the_model_is_faster_there(
    model: ModelInfo, gpus: float, asked: EmbeddingWorkers
) -> None:
    pipelines = PipelineSettings(embed_actors=2, embed_gpus=0.5)
    assert embedding_workers(pipelines, model, cluster_gpus=gpus) == asked


def test_a_gpu_that_is_wanted_and_not_there_is_refused() -> None:
    with pytest.raises(Unavailable, match=r"pipelines\.embed_device"):
        embedding_workers(PipelineSettings(embed_device="gpu"), ON_GPU, cluster_gpus=0)
