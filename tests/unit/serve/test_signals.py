"""What signals ask the server for."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from serve.signals import Wishes


@pytest.fixture
def wishes() -> Iterator[Wishes]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    made = Wishes()
    made.listen()
    yield made
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_asked_to_stop_does_not_reload(wishes: Wishes, number: signal.Signals) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), number)
    assert wishes.stop
    assert not wishes.wait_for_reload()


def test_each_hang_up_asks_for_one_reload(wishes: Wishes) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    assert wishes.wait_for_reload()
    assert not wishes.stop
    os.kill(os.getpid(), signal.SIGHUP)
    assert wishes.wait_for_reload()
    os.kill(os.getpid(), signal.SIGTERM)
    assert not wishes.wait_for_reload()


_INTERRUPTED_EVERYWHERE = """
import signal, sys
from serve.signals import Wishes

wishes = Wishes()
wishes.listen()
interrupted = set()

def interrupt(frame, event, argument):
    place = (frame.f_code, frame.f_lineno)
    if event == "line" and place not in interrupted:
        interrupted.add(place)
        signal.raise_signal(signal.SIGHUP)
    return interrupt

signal.raise_signal(signal.SIGHUP)
sys.settrace(interrupt)
assert wishes.wait_for_reload()
sys.settrace(None)
assert interrupted
signal.raise_signal(signal.SIGTERM)
assert not wishes.wait_for_reload()
"""


def test_a_signal_may_come_at_any_line_while_another_is_taken_in() -> None:
    subprocess.run([sys.executable, "-c", _INTERRUPTED_EVERYWHERE], check=True, timeout=20)
