"""Loads a sentence encoder from its folder: on OpenVINO for the CPU, on torch for a GPU."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import structlog

from vectoray.core.errors import InternalError
from vectoray.embedding.encoder_folder import EncoderFolder
from vectoray.embedding.model import EmbeddingModel, ModelInfo, RunOptions, TokenCounter
from vectoray.embedding.model_cache import cached_model
from vectoray.embedding.tokens import TokenReader

_log = structlog.get_logger(__name__)

_CONVERTED_BY = ("torch", "transformers", "openvino")

# Raise it when `conversion` changes what it writes.
_CONVERSION = "2"


def token_counter(info: ModelInfo, folder: EncoderFolder) -> TokenCounter:  # noqa: ARG001
    """What counts the tokens of the model in ``folder``."""
    return TokenReader(folder)


def load(
    info: ModelInfo,
    folder: EncoderFolder,
    cache_dir: Path,
    run: RunOptions,
    *,
    fingerprint: str | None = None,
) -> EmbeddingModel:
    """Load the model in ``folder``.

    Args:
        info: What it is.
        folder: Where it is, and how it works.
        cache_dir: Keeps the form in which OpenVINO runs it.
        run: How it is to run.
        fingerprint: Of the weights and all that vectors depend on; None: that of the folder's files.

    Raises:
        InternalError: It cannot be converted; the log says why.
    """
    fingerprint = fingerprint or folder.fingerprint()
    if run.device == "gpu":
        from vectoray.embedding.torch_model import TorchModel  # noqa: PLC0415  (imports torch: seconds)

        return TorchModel(info, folder=folder, fingerprint=fingerprint, device="gpu")
    from vectoray.embedding.openvino_model import OpenVinoModel  # noqa: PLC0415  (as above)

    return OpenVinoModel(
        info,
        folder=folder,
        fingerprint=fingerprint,
        model=_converted(info, folder, cache_dir, fingerprint),
        threads=run.threads,
        low_latency=run.low_latency,
    )


def _converted(info: ModelInfo, folder: EncoderFolder, cache_dir: Path, fingerprint: str) -> Path:
    """The converted model, converting it if ``cache_dir`` holds no sound copy for these versions."""
    return cached_model(
        cache_dir,
        name=info.name.replace("/", "-").replace(":", "-"),
        depends_on=(
            *(f"{package}=={version(package)}" for package in _CONVERTED_BY),
            f"weights={fingerprint}",
            f"conversion={_CONVERSION}",
        ),
        convert=lambda target: _convert(folder, target),
    )


def _convert(folder: EncoderFolder, target: Path) -> None:
    """Convert in a process of its own: torch would stay in this one's memory for good, 500 MB of it."""
    command = [sys.executable, "-P", "-m", "vectoray.embedding.conversion", str(folder.path), str(target)]
    command += ["--pooling", folder.pooling, *(["--normalize"] if folder.normalize else [])]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  (our own module)
    if done.returncode != 0:
        _log.error("model_not_converted", output=done.stderr[-2000:])
        raise InternalError("The embedding model could not be converted; the log says why.")
