"""The models a server has, and how to load one. Imports no model runtime until it must."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from vectoray.core.errors import InvalidRequest
from vectoray.embedding.device import Device
from vectoray.embedding.encoder_folder import read_encoder_folder
from vectoray.embedding.model import EmbeddingModel, ModelInfo, RunOptions, TokenCounter
from vectoray.embedding.settings import EmbeddingSettings, HttpModelSettings, LocalModelSettings


@dataclass(frozen=True, slots=True)
class _Entry:
    """A model, and the module that makes it and its token counter: by name, since it may import a runtime.

    Attributes:
        more: Arguments of the module's ``load`` and ``token_counter`` besides those that all have.
    """

    info: ModelInfo
    module: str
    more: Mapping[str, Any] = field(default_factory=dict)

    def load(self, cache_dir: Path, run: RunOptions) -> EmbeddingModel:
        made: EmbeddingModel = self._module().load(self.info, cache_dir=cache_dir, run=run, **self.more)
        return made

    def token_counter(self) -> TokenCounter | None:
        made: TokenCounter | None = self._module().token_counter(self.info, **self.more)
        return made

    def _module(self) -> Any:
        return import_module(f"vectoray.embedding.{self.module}")


class ModelRegistry:
    """Every model that can be loaded: those that come with Vectoray, and those of the settings."""

    def __init__(self, settings: EmbeddingSettings | None = None) -> None:
        """Describe the models of the settings. Reads small files of those in folders.

        Raises:
            InvalidRequest: A folder holds no model that can be run, or a name is taken.
        """
        self._entries = {entry.info.name: entry for entry in _BUILT_IN}
        for model in settings.models if settings else ():
            if model.name in self._entries:
                raise InvalidRequest(
                    f"'embedding.models' names '{model.name}', which is a model of Vectoray's own; choose "
                    "another name."
                )
            self._entries[model.name] = _entry_of(model)

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """All models, those of Vectoray first."""
        return tuple(entry.info for entry in self._entries.values())

    def describe(self, name: str) -> ModelInfo:
        """The facts about one model, without loading it.

        Raises:
            InvalidRequest: No such model; the message names those that exist.
        """
        return self._entry(name).info

    def load(
        self,
        name: str,
        *,
        cache_dir: Path,
        device: Device = "cpu",
        threads: int = 0,
        low_latency: bool = False,
    ) -> EmbeddingModel:
        """Load a model. Nothing is ever downloaded.

        Args:
            name: One of `models`.
            cache_dir: Where a model may keep a form of itself that loads faster. Made if it is missing; its
                content can be deleted at any time.
            device: Where it runs; `device.choose_device` says which there is.
            threads: Threads of the CPU that ``embed`` may use; 0 means one per core.
            low_latency: Whether single short texts matter more than many texts an hour; loading takes a
                second longer.

        Raises:
            InvalidRequest: No such model; the message names those that exist.
            InternalError: It cannot be loaded; the log says why.
        """
        return self._entry(name).load(cache_dir, RunOptions(device, threads, low_latency))

    def token_counter(self, name: str) -> TokenCounter | None:
        """What counts the tokens that a model reads, without its weights; None where only its endpoint could.

        Raises:
            InvalidRequest: No such model; the message names those that exist.
        """
        return self._entry(name).token_counter()

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            known = list(self._entries)
            raise InvalidRequest(
                f"Embedding model '{name}' is not known; use one of: {', '.join(known)}.",
                {"embedding_model": name, "known": known},
            )
        return entry


def _entry_of(settings: LocalModelSettings | HttpModelSettings) -> _Entry:
    if isinstance(settings, HttpModelSettings):
        info = ModelInfo(settings.name, settings.provider, settings.dimension, settings.max_tokens)
        return _Entry(info, "http_model", {"settings": settings})
    try:
        folder = read_encoder_folder(settings.path, max_tokens=settings.max_tokens)
    except InvalidRequest as error:
        raise InvalidRequest(
            f"The embedding model '{settings.name}' cannot be used. {error.message}"
        ) from None
    info = ModelInfo(
        settings.name,
        settings.provider,
        folder.dimension,
        folder.max_tokens,
        unit_length=folder.normalize,
        runs_on_gpu=True,
    )
    return _Entry(info, "sentence_encoder", {"folder": folder})


_BUILT_IN = (
    _Entry(
        ModelInfo(
            "all-MiniLM-L6-v2",
            provider="sentence-transformers",
            dimension=384,
            max_tokens=256,
            # Of the package that brings the weights; pyproject.toml pins it.
            version="0.1.0",
            runs_on_gpu=True,
        ),
        module="minilm",
    ),
    _Entry(
        ModelInfo("hashing-384", provider="vectoray", dimension=384, max_tokens=256),
        module="hashing",
    ),
)
