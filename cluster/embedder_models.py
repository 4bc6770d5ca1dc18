"""Which models the embedder of queries serves. Knows no Ray."""

from dataclasses import dataclass
from pathlib import Path

from vectoray.embedding.settings import EmbeddingSettings


@dataclass(frozen=True, slots=True)
class EmbedderModels:
    """The models of a server.

    Attributes:
        settings: Those beside Vectoray's own.
        default: Name of the one that is loaded at the start; others are when they are first asked for.
        cache_dir: Where models keep a form of themselves that loads faster.
    """

    settings: EmbeddingSettings
    default: str
    cache_dir: Path
