"""Models and search in one process, whichever is loaded first."""

import subprocess
import sys
from pathlib import Path

import pytest

EMBED = """
from pathlib import Path
from vectoray.embedding import ModelRegistry
model = ModelRegistry().load("all-MiniLM-L6-v2", cache_dir=Path({cache!r}), threads=1)
assert model.embed(["a"]).shape == (1, 384)
"""


@pytest.mark.parametrize("first", ["import storage.graph", "import storage.writer", ""])
def test_a_model_runs_after_search_was_loaded(model_cache_dir: Path, first: str) -> None:
    code = f"{first}\n{EMBED.format(cache=str(model_cache_dir))}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
