"""Keeps a few models loaded: each from when it is first asked for until others take its place."""

import asyncio
import contextvars
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cluster.embedding_batches import EmbeddingBatches
from vectoray.core.errors import DeadlineExceeded


class LoadedModels:
    """Models by name, the one not asked for the longest first. To be used from one event loop."""

    def __init__(self, load: Callable[[str], EmbeddingBatches], *, most: int) -> None:
        """Keep at most ``most`` models.

        Args:
            load: Loads a model. Called in a thread of its own, for one model at a time.
            most: How many, with those that are being loaded. One that goes still finishes what it has.
        """
        self._load = load
        self._most = most
        self._loaded: OrderedDict[str, EmbeddingBatches] = OrderedDict()
        self._loading: dict[str, asyncio.Task[EmbeddingBatches]] = {}
        # One thread: some runtimes change settings of the whole process while they load.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="model-loading")

    @property
    def waiting(self) -> int:
        """How many texts wait, for all models."""
        return sum(batches.waiting for batches in self._loaded.values())

    def load_now(self, name: str) -> None:
        """Load a model before there is an event loop."""
        self._loaded[name] = self._load(name)

    async def get(self, name: str, *, timeout_s: float) -> EmbeddingBatches:
        """The model, loaded.

        Raises:
            DeadlineExceeded: It is still being loaded after ``timeout_s``, which goes on.
            VectorayError: What loading it raises. The next call tries again.
        """
        loaded = self._loaded.get(name)
        if loaded is not None:
            self._loaded.move_to_end(name)
            return loaded
        if name not in self._loading:
            # Not this caller's: Ray Serve cancels what is started in the context of a request.
            task = asyncio.get_running_loop().create_task(
                self._load_in_thread(name), context=contextvars.Context()
            )
            self._loading[name] = task
            task.add_done_callback(lambda ended: self._loading_ended(name, ended))
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._loading[name])
        except TimeoutError:
            raise DeadlineExceeded(
                f"The model '{name}' is still being loaded; try again in a moment."
            ) from None

    async def _load_in_thread(self, name: str) -> EmbeddingBatches:
        # Before, so that memory holds no more than ``most`` at any time.
        while self._loaded and len(self._loaded) + len(self._loading) > self._most:
            self._loaded.popitem(last=False)
        return await asyncio.get_running_loop().run_in_executor(self._loader, self._load, name)

    def _loading_ended(self, name: str, task: asyncio.Task[EmbeddingBatches]) -> None:
        del self._loading[name]
        # Asking for the exception also tells asyncio that it was not overlooked.
        if not task.cancelled() and task.exception() is None:
            self._loaded[name] = task.result()
            while len(self._loaded) > self._most:
                self._loaded.popitem(last=False)
