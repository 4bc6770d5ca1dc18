"""Turns signals into wishes: SIGTERM and SIGINT ask the server to stop, SIGHUP to read its settings again."""

import queue
import signal
from types import FrameType


class Wishes:
    """What the process was asked for.

    A handler may run in the middle of any other call, its own included: it takes no lock, as an
    `threading.Event` would.

    Attributes:
        stop: Whether it is to end.
    """

    def __init__(self) -> None:
        self.stop = False
        self._asked: queue.SimpleQueue[None] = queue.SimpleQueue()

    def listen(self) -> None:
        """Take the signals. Replaces any handler, also those of C++ libraries."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        signal.signal(signal.SIGHUP, self._ask_to_reload)

    def wait_for_reload(self) -> bool:
        """Wait until asked for something. Returns whether it is to read the settings again, not to stop.

        Whatever was asked before it returns has been answered by that.
        """
        self._asked.get()
        while not self._asked.empty():
            self._asked.get()
        return not self.stop

    def _ask_to_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.stop = True
        self._asked.put(None)

    def _ask_to_reload(self, _signal: int, _frame: FrameType | None) -> None:
        self._asked.put(None)
