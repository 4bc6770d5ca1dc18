"""Each model there is, loaded."""

from pathlib import Path

import pytest

from vectoray.embedding import ModelInfo, ModelRegistry


@pytest.mark.parametrize("info", ModelRegistry().models, ids=lambda info: info.name)
def test_a_loaded_model_is_what_its_description_says(model_cache_dir: Path, info: ModelInfo) -> None:
    model = ModelRegistry().load(info.name, cache_dir=model_cache_dir)
    assert (model.name, model.dimension, model.max_tokens) == (info.name, info.dimension, info.max_tokens)
    assert model.embed(["text"]).shape == (1, info.dimension)
