"""What signals ask the server for."""

import os
import signal
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
    assert wishes.stop.is_set()
    assert not wishes.wait_for_reload()


def test_each_hang_up_asks_for_one_reload(wishes: Wishes) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    assert wishes.wait_for_reload()
    assert not wishes.stop.is_set()
    os.kill(os.getpid(), signal.SIGHUP)
    assert wishes.wait_for_reload()
    os.kill(os.getpid(), signal.SIGTERM)
    assert not wishes.wait_for_reload()
