"""An engine for code that blocks, as pipeline stages do: its calls run in the event loop of a thread.

All of a process share that loop, which Ray Serve binds the process to with the first call.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from typing import Any, TypeVar

from cluster.engine import Engine
from vectoray.core.errors import Unavailable
from vectoray.core.model import Collection, Point, PointBatch

_T = TypeVar("_T")
_PAUSE_S = 0.5


class BlockingEngine:
    """An `Engine` whose calls wait, also for a shard host that is being replaced."""

    def __init__(self, engine: Engine, *, patience_s: float = 60.0) -> None:
        """Make it.

        Args:
            engine: What to call.
            patience_s: Seconds for which an engine that is unavailable is asked again.
        """
        self._engine = engine
        self._patience_s = patience_s

    def create(self, collection: Collection) -> None:
        """As `Engine.create`."""
        self._wait(self._engine.create(collection))

    def upsert(self, collection: Collection, batch: PointBatch) -> int:
        """As `Engine.write`, replacing those whose id exists, patient. Returns how many rows were written."""
        return self._patiently(lambda: self._engine.write(collection, batch)).written

    def delete(self, collection: Collection, ids: Sequence[str]) -> list[str]:
        """As `Engine.delete`, patient; an id deleted by an attempt that was not answered may be missing."""
        return self._patiently(lambda: self._engine.delete(collection, ids))

    def get(self, collection: Collection, ids: Sequence[str]) -> list[Point | None]:
        """As `Engine.get`, patient."""
        return self._patiently(lambda: self._engine.get(collection, ids))

    def load(self, collection: Collection, job: str, part: str, batch: PointBatch) -> None:
        """As `Engine.load`, patient."""
        self._patiently(lambda: self._engine.load(collection, job, part, batch))

    def loaded_parts(self, collection: Collection, job: str) -> frozenset[str]:
        """As `Engine.loaded_parts`, patient."""
        return self._patiently(lambda: self._engine.loaded_parts(collection, job))

    def end_load(self, collection: Collection, job: str) -> None:
        """As `Engine.end_load`, patient."""
        self._patiently(lambda: self._engine.end_load(collection, job))

    def _patiently(self, call: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Make a call that may be made twice, again and again while the engine is unavailable."""
        deadline_s = time.monotonic() + self._patience_s
        while True:
            try:
                return self._wait(call())
            except Unavailable:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(_PAUSE_S)

    def close(self) -> None:
        """Close the engine."""
        self._wait(self._engine.close())

    def _wait(self, call: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(call, _loop_of_process()).result()


@cache
def _loop_of_process() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="engine-loop", daemon=True).start()
    return loop
