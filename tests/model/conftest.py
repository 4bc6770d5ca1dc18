"""The real model, converted once per session."""

from pathlib import Path

import pytest

from vectoray.embedding import EmbeddingModel, load_model


@pytest.fixture(scope="session")
def model_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that holds the converted model."""
    folder = tmp_path_factory.mktemp("models")
    load_model("all-MiniLM-L6-v2", cache_dir=folder)
    return folder


@pytest.fixture(scope="session")
def minilm(model_cache_dir: Path) -> EmbeddingModel:
    return load_model("all-MiniLM-L6-v2", cache_dir=model_cache_dir)


@pytest.fixture(scope="session")
def queries_minilm(model_cache_dir: Path) -> EmbeddingModel:
    """The model as the embedder of queries loads it."""
    return load_model("all-MiniLM-L6-v2", cache_dir=model_cache_dir, low_latency=True)
