"""Turns signals into wishes: SIGTERM and SIGINT ask the server to stop, SIGHUP to read its settings again."""

import signal
import threading
from types import FrameType


class Wishes:
    """What the process was asked for.

    Attributes:
        stop: Set once it is to end.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._asked = threading.Event()

    def listen(self) -> None:
        """Take the signals. Replaces any handler, also those of C++ libraries."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        signal.signal(signal.SIGHUP, self._ask_to_reload)

    def wait_for_reload(self) -> bool:
        """Wait until asked for something. Returns whether it is to read the settings again, not to stop."""
        self._asked.wait()
        self._asked.clear()
        return not self.stop.is_set()

    def _ask_to_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.stop.set()
        self._asked.set()

    def _ask_to_reload(self, _signal: int, _frame: FrameType | None) -> None:
        self._asked.set()
