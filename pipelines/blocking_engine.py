"""An engine for code that blocks, as pipeline stages do: its calls run in the event loop of a thread."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from cluster.engine import Engine
from vectoray.core.model import Collection, Point, PointBatch

_T = TypeVar("_T")


class BlockingEngine:
    """An `Engine` whose calls wait."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="engine-loop", daemon=True)
        self._thread.start()

    def create(self, collection: Collection) -> None:
        """As `Engine.create`."""
        self._wait(self._engine.create(collection))

    def upsert(self, collection: Collection, batch: PointBatch) -> int:
        """As `Engine.upsert`."""
        return self._wait(self._engine.upsert(collection, batch))

    def delete(self, collection: Collection, ids: Sequence[str]) -> list[str]:
        """As `Engine.delete`."""
        return self._wait(self._engine.delete(collection, ids))

    def get(self, collection: Collection, ids: Sequence[str]) -> list[Point | None]:
        """As `Engine.get`."""
        return self._wait(self._engine.get(collection, ids))

    def close(self) -> None:
        """Close the engine and end the thread."""
        self._wait(self._engine.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, call: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()
