"""The models this installation knows, and how to load one. Imports no model runtime until it must."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from vectoray.core.errors import InvalidRequest
from vectoray.embedding.device import Device
from vectoray.embedding.model import EmbeddingModel, ModelInfo, RunOptions

_Loader = Callable[[ModelInfo, Path, RunOptions], EmbeddingModel]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A model, and the module whose ``load`` makes it; named, so that listing models imports no runtime."""

    info: ModelInfo
    module: str

    def load(self, cache_dir: Path, run: RunOptions) -> EmbeddingModel:
        loader: _Loader = import_module(self.module).load
        return loader(self.info, cache_dir, run)


_ENTRIES = {
    entry.info.name: entry
    for entry in (
        _Entry(
            ModelInfo(
                "all-MiniLM-L6-v2",
                provider="sentence-transformers",
                dimension=384,
                max_tokens=256,
                # Of the package that brings the weights; pyproject.toml pins it.
                version="0.1.0",
            ),
            module="vectoray.embedding.minilm",
        ),
        _Entry(
            ModelInfo("hashing-384", provider="vectoray", dimension=384, max_tokens=256),
            module="vectoray.embedding.hashing",
        ),
    )
}


def known_models() -> tuple[ModelInfo, ...]:
    """Every model that `load_model` can load, the default first."""
    return tuple(entry.info for entry in _ENTRIES.values())


def describe_model(name: str) -> ModelInfo:
    """The facts about one model, without loading it.

    Raises:
        InvalidRequest: No such model; the message names those that exist.
    """
    return _entry(name).info


def load_model(
    name: str, *, cache_dir: Path, device: Device = "cpu", threads: int = 0, low_latency: bool = False
) -> EmbeddingModel:
    """Load a model from local files; nothing is ever downloaded.

    Args:
        name: One of `known_models`.
        cache_dir: Where a model may keep a form of itself that loads faster. Made if it is missing; its
            content can be deleted at any time.
        device: Where it runs; `device.choose_device` says which there is.
        threads: Threads of the CPU that ``embed`` may use; 0 means one per core.
        low_latency: Whether single short texts matter more than many texts an hour; loading takes a second
            longer.

    Raises:
        InvalidRequest: No such model; the message names those that exist.
    """
    return _entry(name).load(cache_dir, RunOptions(device, threads, low_latency))


def _entry(name: str) -> _Entry:
    entry = _ENTRIES.get(name)
    if entry is None:
        known = list(_ENTRIES)
        raise InvalidRequest(
            f"Embedding model '{name}' is not known; use one of: {', '.join(known)}.",
            {"embedding_model": name, "known": known},
        )
    return entry
