"""One timer for everything that may wait equally long.

`asyncio.timeout` sets a timer of its own each time and removes it again: under uvloop some ten microseconds,
several times for every search.
"""

import asyncio
import contextvars
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from types import TracebackType
from typing import Self


class Deadlines:
    """Ends what takes longer than a time that is the same for all. For one event loop."""

    def __init__(self, after_s: float) -> None:
        """Make it.

        Args:
            after_s: Seconds that each may take.
        """
        self._after_s = after_s
        self._numbers = count()
        # In the order in which they expire. (A plain dict finds its first entry only past all removed ones.)
        self._running: OrderedDict[int, tuple[float, Callable[[], object]]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, expire: Callable[[], object]) -> int:
        """Call ``expire`` when the time is over, unless `stop` was called with the number returned."""
        loop = asyncio.get_running_loop()
        number = next(self._numbers)
        self._running[number] = loop.time() + self._after_s, expire
        if self._timer is None:
            self._set_timer(loop, loop.time() + self._after_s)
        return number

    def stop(self, number: int) -> bool:
        """Let one be; again, and after it has expired, that does nothing. Returns whether it was running."""
        return self._running.pop(number, None) is not None

    def limit(self) -> "Limit":
        """What runs inside the ``with`` block is cancelled when the time is over."""
        return Limit(self)

    def _set_timer(self, loop: asyncio.AbstractEventLoop, at_s: float) -> None:
        # An empty context: the timer belongs to no request, and must not keep one's values.
        self._timer = loop.call_at(at_s, self._expire, context=contextvars.Context())

    def _expire(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._running:
            number, (expires_s, expire) = next(iter(self._running.items()))
            if expires_s > loop.time():
                self._set_timer(loop, expires_s)
                return
            del self._running[number]
            try:
                expire()
            except Exception as error:  # noqa: BLE001  (the others expire all the same)
                loop.call_exception_handler({"message": "A deadline could not expire.", "exception": error})


class Limit:
    """A deadline of the current task, as a context manager; see `Deadlines.limit`.

    As with `asyncio.timeout`, a block that was cancelled for its deadline raises ``TimeoutError``.

    Attributes:
        expired: Whether the time was over before the block ended.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._number = -1
        self.expired = False

    def restart(self) -> None:
        """Give the rest of the block the whole time again, unless it is over or was lifted."""
        if self._deadlines.stop(self._number):
            self._number = self._deadlines.start(self._cancel)

    def lift(self) -> None:
        """Let the rest of the block take as long as it likes."""
        self._deadlines.stop(self._number)

    def __enter__(self) -> Self:
        """Start."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A deadline is a task's.")
        self._task, self._cancelling = task, task.cancelling()
        self._number = self._deadlines.start(self._cancel)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End; raises TimeoutError if the deadline, and nobody else, has cancelled the block."""
        self._deadlines.stop(self._number)
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _cancel(self) -> None:
        self.expired = True
        self._task.cancel()
