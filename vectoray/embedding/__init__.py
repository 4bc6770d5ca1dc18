"""Text to vectors. Knows no Ray, no HTTP and no storage.

Importing this package costs nothing but NumPy: a model's runtime is imported when the model is loaded.
"""

from vectoray.embedding.model import EmbeddingModel, ModelInfo
from vectoray.embedding.registry import describe_model, known_models, load_model

__all__ = ["EmbeddingModel", "ModelInfo", "describe_model", "known_models", "load_model"]
