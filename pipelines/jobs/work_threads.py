"""Threads for what keeps a processor busy, which give way to everything else on the machine."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")


class WorkThreads:
    """A pool of threads of low priority. What they load starts threads that give way as well."""

    def __init__(self, count: int, *, name: str, niceness: int) -> None:
        """Make it.

        Args:
            count: Threads.
            name: For whoever looks at the process.
            niceness: 0 to 19.
        """
        self._pool = ThreadPoolExecutor(count, name, initializer=_give_way, initargs=(niceness,))

    async def run(self, work: Callable[[], _T]) -> _T:
        """What ``work`` returns. A caller who is cancelled stops waiting; what has begun goes on unseen."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Begin nothing more. Does not wait for what has begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _give_way(niceness: int) -> None:
    # Linux keeps a priority for each thread; where there is none, all do without.
    with suppress(OSError):
        thread = threading.get_native_id()
        before = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, max(before, niceness))
