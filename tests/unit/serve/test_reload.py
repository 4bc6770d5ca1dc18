"""Which settings may change while a server runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from serve.config import Settings
from serve.reload import ReloadOutcomes, check_changes
from vectoray.core.errors import InvalidRequest

ENDPOINT = {
    "name": "far",
    "provider": "openai",
    "url": "https://host/v1/embeddings",
    "model": "m",
    "dimension": 8,
}


def with_changes(**sections: dict[str, Any]) -> Settings:
    values = Settings().model_dump()
    return Settings.model_validate(
        {key: value | sections.get(key, {}) for key, value in values.items() if isinstance(value, dict)}
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"serve": {"request_timeout_s": 5.0, "allowed_hosts": ("a.example",)}},
        {"cluster": {"gateway_replicas": 3, "gateway_concurrency": 9, "shards_per_collection": 4}},
        {"pipelines": {"chunking": {"size_chars": 500}}},
    ],
)
def test_what_gateways_read_may_change(changes: dict[str, dict[str, Any]]) -> None:
    check_changes(Settings(), with_changes(**changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"serve": {"port": 8001}}, "serve.port"),
        ({"serve": {"host": "::1"}}, "serve.host"),
        ({"storage": {"seal_rows": 5}}, "storage.seal_rows"),
        ({"cluster": {"shard_hosts": 3}}, "cluster.shard_hosts"),
        ({"pipelines": {"embedding_model": "other"}}, "pipelines.embedding_model"),
        ({"embedding": {"models": (ENDPOINT,)}}, "embedding.models"),
        ({"serve": {"port": 8001}, "cluster": {"num_cpus": 7}}, "cluster.num_cpus, serve.port"),
    ],
)
def test_what_only_a_new_start_changes_is_refused_by_name(
    changes: dict[str, dict[str, Any]], named: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_changes(Settings(), with_changes(**changes))
    assert f"while the server runs: {named}. Nothing was changed." in refused.value.message


def test_another_key_of_an_endpoint_is_noticed_and_not_told() -> None:
    before, after = (
        with_changes(embedding={"models": ({**ENDPOINT, "api_key": key},)}) for key in ("sk-1", "sk-2")
    )
    with pytest.raises(InvalidRequest, match=r"embedding\.models") as refused:
        check_changes(before, after)
    assert "sk-" not in refused.value.message


def test_another_data_folder_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="data_dir"):
        check_changes(Settings(), Settings().model_copy(update={"data_dir": Path("elsewhere")}))


def test_outcomes_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    outcomes = ReloadOutcomes(tmp_path)
    outcomes.clear()
    told = []
    for problem in (None, "It did not work."):
        outcomes.tell(problem)
        told.append(json.loads((tmp_path / "run" / "reload.json").read_text()))
    assert told == [{"number": 1, "problem": None}, {"number": 2, "problem": "It did not work."}]
    outcomes.clear()
    assert list((tmp_path / "run").iterdir()) == []
