"""The real model, converted once per session."""

from pathlib import Path

import pytest

from vectoray.embedding import EmbeddingModel, ModelRegistry


@pytest.fixture(scope="session")
def model_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that holds the converted model."""
    folder = tmp_path_factory.mktemp("models")
    ModelRegistry().load("all-MiniLM-L6-v2", cache_dir=folder)
    return folder


@pytest.fixture(scope="session")
def minilm(model_cache_dir: Path) -> EmbeddingModel:
    return ModelRegistry().load("all-MiniLM-L6-v2", cache_dir=model_cache_dir)


@pytest.fixture(scope="session")
def queries_minilm(model_cache_dir: Path) -> EmbeddingModel:
    """The model as the embedder of queries loads it."""
    return ModelRegistry().load("all-MiniLM-L6-v2", cache_dir=model_cache_dir, low_latency=True)
