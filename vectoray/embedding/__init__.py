"""Text to vectors. Knows no Ray and no storage.

Importing this package is cheap: a model's runtime is imported when the model is loaded.
"""

from vectoray.embedding.model import EmbeddingModel, ModelInfo, TokenCounter
from vectoray.embedding.registry import ModelRegistry
from vectoray.embedding.settings import EmbeddingSettings

__all__ = ["EmbeddingModel", "EmbeddingSettings", "ModelInfo", "ModelRegistry", "TokenCounter"]
