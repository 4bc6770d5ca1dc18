"""Reads what a folder of sentence-transformers says of its model. Imports no model runtime.

A folder lists its steps in ``modules.json``. What is run here is a transformer, pooling over its tokens by
mean or by the first token, and perhaps normalisation; anything else is refused rather than left out.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from vectoray.core.errors import InvalidRequest

Pooling = Literal["mean", "cls"]

_LEGACY_POOLING = "pooling_mode_"
# Names of ways to pool in files from before version 6, where they differ from the new ones.
_LEGACY_NAMES = {"cls_token": "cls", "mean_tokens": "mean"}
_STEPS = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])


@dataclass(frozen=True, slots=True)
class EncoderFolder:
    """A sentence encoder on disk.

    Attributes:
        path: Holds ``config.json``, the weights (``*.safetensors``) and ``tokenizer.json``.
        dimension: Length of its vectors.
        max_tokens: How much of a text it reads.
        pad_id: Token that fills up shorter rows.
        pooling: How one vector is made of those of the tokens.
        normalize: Whether vectors are scaled to unit length.
        lowercase: Whether texts are to be lower-cased before the tokenizer sees them.
        parameters: Of the files that are not weights, a digest.
    """

    path: Path
    dimension: int
    max_tokens: int
    pad_id: int = 0
    pooling: Pooling = "mean"
    normalize: bool = True
    lowercase: bool = False
    parameters: str = ""

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file."""
        return self.path / "tokenizer.json"

    @property
    def weights(self) -> list[Path]:
        """The files of the weights, in the order of their names."""
        return sorted(self.path.glob("*.safetensors"))

    def fingerprint(self) -> str:
        """A digest of everything that a vector depends on. Reads all weights: seconds for gigabytes."""
        digest = hashlib.sha256(self.parameters.encode())
        for path in (self.tokenizer, *self.weights):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def read_encoder_folder(path: Path, *, max_tokens: int | None = None) -> EncoderFolder:
    """What the folder says.

    Args:
        path: The folder of the model.
        max_tokens: Of a text that are to be read; None: as many as the folder says.

    Raises:
        InvalidRequest: A file is missing or unreadable, the model has a step that is not supported, or it
            cannot read that many tokens. The message does not name the folder.
    """
    steps = _steps(path)
    transformer = path / steps["Transformer"]
    config = _read(transformer / "config.json")
    reading = _read(transformer / "sentence_bert_config.json", missing={})
    tokenizer = _read(transformer / "tokenizer_config.json", missing={})
    pooling = _read(path / steps["Pooling"] / "config.json")
    _refuse_prompts(_read(path / "config_sentence_transformers.json", missing={}), pooling)
    folder = EncoderFolder(
        path=transformer,
        dimension=_number(pooling, "embedding_dimension", "word_embedding_dimension"),
        max_tokens=_max_tokens(max_tokens, reading, tokenizer, config),
        pad_id=config.get("pad_token_id") or 0,
        pooling=_pooling(pooling),
        normalize="Normalize" in steps,
        lowercase=bool(reading.get("do_lower_case", False)),
    )
    if not folder.weights or not folder.tokenizer.is_file():
        raise InvalidRequest(
            "The model's folder must have a tokenizer.json and weights as model.safetensors."
        )
    facts = (folder.dimension, folder.max_tokens, folder.pad_id, folder.pooling, folder.normalize)
    parameters = json.dumps([config, *facts, folder.lowercase], sort_keys=True)
    return replace(folder, parameters=hashlib.sha256(parameters.encode()).hexdigest())


def _steps(path: Path) -> dict[str, str]:
    """The folder of each step by its kind."""
    listed = _read(path / "modules.json")
    try:
        steps = [(str(step["type"]).rsplit(".", 1)[-1], str(step["path"])) for step in listed]
    except (TypeError, KeyError):
        raise InvalidRequest("The model's modules.json is not a list of steps.") from None
    kinds = [kind for kind, _ in steps]
    if kinds not in _STEPS:
        raise InvalidRequest(
            f"A model with the steps {', '.join(kinds)} is not supported; only Transformer and Pooling, and "
            "perhaps Normalize, are."
        )
    return dict(steps)


def _pooling(config: dict[str, Any]) -> Pooling:
    modes = config.get("pooling_mode")
    if modes is None:
        flags = [key.removeprefix(_LEGACY_POOLING) for key, on in config.items() if on is True]
        modes = [_LEGACY_NAMES.get(flag, flag) for flag in flags if f"{_LEGACY_POOLING}{flag}" in config]
    if isinstance(modes, str):
        modes = [modes]
    if modes == ["mean"]:
        return "mean"
    if modes == ["cls"]:
        return "cls"
    raise InvalidRequest(
        f"Pooling by {' and '.join(map(str, modes)) or 'nothing'} is not supported; only 'mean' or 'cls' is."
    )


def _refuse_prompts(config: dict[str, Any], pooling: dict[str, Any]) -> None:
    if config.get("default_prompt_name") is not None or pooling.get("include_prompt") is False:
        raise InvalidRequest("A model that puts a prompt before every text is not supported.")


def _max_tokens(wanted: int | None, *configs: dict[str, Any]) -> int:
    """What is wanted, or what the reading step says, or what tokenizer and encoder can take."""
    reading, tokenizer, config = configs
    limits = [tokenizer.get("model_max_length"), config.get("max_position_embeddings")]
    # Some tokenizers say that they have no limit by a number with thirty digits.
    most = min((int(limit) for limit in limits if limit is not None and limit < 10**9), default=None)
    found = reading.get("max_seq_length") or most
    if wanted is not None and most is not None and wanted > most:
        raise InvalidRequest(f"The model reads at most {most} tokens of a text, not {wanted}.")
    tokens = wanted or found
    if tokens is None:
        raise InvalidRequest("The model's files do not say how many tokens it reads; give 'max_tokens'.")
    return int(tokens)


def _number(config: dict[str, Any], *names: str) -> int:
    for name in names:
        if isinstance(config.get(name), int):
            return int(config[name])
    raise InvalidRequest(f"The model's files do not say its dimension ('{names[0]}').")


def _read(path: Path, *, missing: Any = None) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        if missing is not None:
            return missing
        raise InvalidRequest(f"The model's folder has no {path.name} where one is needed.") from None
    except (OSError, ValueError):
        raise InvalidRequest(f"The {path.name} of the model's folder cannot be read.") from None
