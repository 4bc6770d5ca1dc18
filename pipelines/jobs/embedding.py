"""Texts to vectors by models that are loaded when they are first needed, outside of the event loop."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from pipelines.embed import ChunkEmbedder
from pipelines.jobs.work_threads import WorkThreads
from vectoray.core.model import FloatMatrix


class Embedder(Protocol):
    """Turns texts into vectors."""

    async def embed(self, model: str, texts: Sequence[str]) -> FloatMatrix:
        """Unit vectors: float32, shape (len(texts), dimension).

        Raises:
            InvalidRequest: A text is not valid Unicode, or the model is not known.
        """


class ThreadEmbedder:
    """Embeds one batch at a time, in the order asked, so that documents take turns."""

    def __init__(self, threads: WorkThreads, load: Callable[[str], ChunkEmbedder]) -> None:
        """Make it.

        Args:
            threads: Where models are loaded and run.
            load: Loads a model by its name.
        """
        self._threads = threads
        self._load = load
        self._models: dict[str, ChunkEmbedder] = {}
        self._turn = asyncio.Lock()

    async def embed(self, model: str, texts: Sequence[str]) -> FloatMatrix:
        """As `Embedder.embed`."""
        async with self._turn:
            loaded = await self._loaded(model)
            return await self._threads.run(lambda: loaded.embed(texts))

    async def warm_up(self, model: str) -> None:
        """Load a model before it is needed."""
        async with self._turn:
            await self._loaded(model)

    async def _loaded(self, name: str) -> ChunkEmbedder:
        if name not in self._models:
            self._models[name] = await self._threads.run(lambda: self._load(name))
        return self._models[name]
