"""Turns SIGTERM and SIGINT into an event."""

import signal
import threading
from types import FrameType


def set_on_signals(stop: threading.Event) -> None:
    """Set ``stop`` when the process is asked to end. Replaces any handler, also those of C++ libraries."""

    def ask(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
