"""The documented configuration is the one the code has, and mistakes in it are named without their values."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from scripts import render_config
from serve.config import ENV_PREFIX, load_settings
from vectoray.core.errors import InvalidRequest
from vectoray.embedding import EmbeddingSettings
from vectoray.embedding.settings import HttpModelSettings, LocalModelSettings

SECRET = "hunter2"
SECTIONS = ("serve", "accounts", "storage", "embedding", "cluster", "pipelines")


def leaves(values: dict[str, Any], *path: str) -> list[tuple[str, ...]]:
    """Where each value is that is no section."""
    found = []
    for name, value in values.items():
        found += leaves(value, *path, name) if isinstance(value, dict) else [(*path, name)]
    return found


SETTINGS = leaves(yaml.safe_load(render_config.PATH.read_text()))


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith(ENV_PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A copy of the committed file."""
    copy = tmp_path / "config.yaml"
    copy.write_text(render_config.PATH.read_text())
    return copy


def refusal(config: Path | None, values: object = None) -> str:
    """The message with which the settings are refused."""
    if config is not None:
        config.write_text(yaml.safe_dump(values))
    with pytest.raises(InvalidRequest) as refused:
        load_settings(config, {})
    return refused.value.message


def test_the_committed_file_is_what_the_code_says() -> None:
    assert render_config.PATH.read_text() == render_config.render()


def test_the_rendering_does_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = render_config.render()
    monkeypatch.setenv("VECTORAY_SERVE__PORT", "9999")
    assert render_config.render() == before


def test_the_file_has_every_setting_and_loads_as_the_defaults(config: Path) -> None:
    defaults = load_settings(None, {})
    assert load_settings(config, {}) == defaults
    assert yaml.safe_load(config.read_text()) == defaults.model_dump(mode="json")


@pytest.mark.parametrize("kind", [LocalModelSettings, HttpModelSettings])
def test_each_field_of_a_model_is_described(kind: type[BaseModel]) -> None:
    page = (render_config.PATH.parents[1] / "docs" / "ingestion.md").read_text()
    for name, field in kind.model_fields.items():
        assert field.description or name == "provider"
        assert f"| `{name}` |" in page or name in {"name", "provider"}


def test_the_documented_models_are_valid() -> None:
    page = (render_config.PATH.parents[1] / "docs" / "ingestion.md").read_text()
    [block] = re.findall(r"```yaml\n(embedding:.*?)```", page, re.DOTALL)
    assert len(EmbeddingSettings.model_validate(yaml.safe_load(block)["embedding"]).models) == 2


def test_check_is_silent_about_a_file_that_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert render_config.main(["--check"]) == 0
    assert capsys.readouterr() == ("", "")


def test_check_shows_what_differs_and_changes_nothing(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = config.read_text().replace("port: 8000", "port: 8001")
    config.write_text(changed)
    monkeypatch.setattr(render_config, "PATH", config)
    assert render_config.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "-  port: 8001\n+  port: 8000\n" in said
    assert said.endswith("run: make config\n")
    assert config.read_text() == changed
    assert render_config.main([]) == 0
    assert config.read_text() == render_config.render()


def test_each_setting_names_its_variable(config: Path) -> None:
    found = re.findall(r"# .*\. (VECTORAY_[A-Z_]+)\n *(\w+):", config.read_text())
    assert found == [(ENV_PREFIX + "__".join(path).upper(), path[-1]) for path in SETTINGS]


@pytest.mark.parametrize(
    ("variable", "value", "path", "expected"),
    [
        ("VECTORAY_DATA_DIR", "/data", ("data_dir",), "/data"),
        ("VECTORAY_SERVE__PORT", "9000", ("serve", "port"), 9000),
        ("VECTORAY_SERVE__ALLOWED_HOSTS", '["a.example"]', ("serve", "allowed_hosts"), ["a.example"]),
        ("VECTORAY_ACCOUNTS__ACCESS_TOKEN_S", "60", ("accounts", "access_token_s"), 60),
        ("VECTORAY_CLUSTER__NUM_CPUS", "2", ("cluster", "num_cpus"), 2),
        ("VECTORAY_PIPELINES__EMBED_ACTORS", "2", ("pipelines", "embed_actors"), 2),
    ],
)
def test_a_variable_sets_its_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, path: tuple[str, ...], expected: object
) -> None:
    monkeypatch.setenv(variable, value)
    found: Any = load_settings(None, {}).model_dump(mode="json")
    for name in path:
        found = found[name]
    assert found == expected


def test_what_is_given_nearer_to_the_caller_wins(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"serve": {"port": 1001, "max_dimension": 11, "max_batch_points": 21}}
    config.write_text(yaml.safe_dump(values))
    monkeypatch.setenv("VECTORAY_SERVE__PORT", "1002")
    monkeypatch.setenv("VECTORAY_SERVE__MAX_DIMENSION", "12")
    loaded = load_settings(config, {"data_dir": None, "serve": {"host": None, "port": 1003}})
    assert (loaded.serve.port, loaded.serve.max_dimension, loaded.serve.max_batch_points) == (1003, 12, 21)
    assert (loaded.serve.host, loaded.data_dir) == ("127.0.0.1", Path("vectoray-data"))


def test_an_unknown_section_is_refused_by_name(config: Path) -> None:
    assert refusal(config, {"srve": {"port": SECRET}}) == "The settings are not valid: srve: unknown key."


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_key_of_a_section_is_refused_by_name(config: Path, section: str) -> None:
    message = refusal(config, {section: {"colour": SECRET}})
    assert message == f"The settings are not valid: {section}.colour: unknown key."


def test_an_unknown_key_in_a_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECTORAY_SERVE__COLOUR", SECRET)
    assert refusal(None) == "The settings are not valid: serve.colour: unknown key."


@pytest.mark.parametrize("path", SETTINGS, ids=".".join)
def test_a_wrong_value_is_refused_by_its_key_alone(config: Path, path: tuple[str, ...]) -> None:
    wrong: dict[str, Any] = {SECRET: SECRET}
    for key in reversed(path):
        wrong = {key: wrong}
    message = refusal(config, wrong)
    assert ".".join(path) in message
    assert SECRET not in message


def test_an_unknown_section_in_a_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{ENV_PREFIX}SERVER__PORT", SECRET)
    message = refusal(None)
    assert f"{ENV_PREFIX}SERVER__PORT is no setting" in message
    assert SECRET not in message


@pytest.mark.parametrize("text", [f"serve: [{SECRET}", f"- {SECRET}", f"serve: {SECRET}", f"{SECRET}"])
def test_a_file_that_is_no_mapping_is_refused_without_its_text(config: Path, text: str) -> None:
    config.write_text(text)
    with pytest.raises(InvalidRequest) as refused:
        load_settings(config, {})
    assert SECRET not in refused.value.message


def test_a_wrong_value_in_a_variable_is_refused_by_its_key_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECTORAY_SERVE__PORT", SECRET)
    message = refusal(None)
    assert "serve.port" in message
    assert SECRET not in message
