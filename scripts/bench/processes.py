"""Processes of a row's own, where memory, open state or being killed matters."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")
_SPAWN = multiprocessing.get_context("spawn")


def in_new_process(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """What the function returns in a process that did nothing before."""
    with ProcessPoolExecutor(1, mp_context=_SPAWN) as pool:
        return pool.submit(function, *args, **kwargs).result()


def workers(count: int) -> ProcessPoolExecutor:
    """Worker processes that did nothing before."""
    return ProcessPoolExecutor(count, mp_context=_SPAWN)


def killed_after(messages: int, function: Callable[..., None], *args: Any) -> list[Any]:
    """Run a function in a process, and kill that with SIGKILL in the midst of its work.

    Args:
        messages: How many messages to wait for before the kill.
        function: Called with a connection to send messages to, then ``args``; goes on until it is killed.
        args: What else it is called with.

    Returns:
        Every message that was sent, also those between the last one waited for and the kill.

    Raises:
        EOFError: The process ended by itself.
    """
    receiver, sender = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_run, args=(function, sender, args))
    process.start()
    sender.close()
    try:
        received = [receiver.recv() for _ in range(messages)]
        if process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.join()
    try:
        while True:
            received.append(receiver.recv())
    except (EOFError, OSError):
        return received
    finally:
        receiver.close()


def _run(function: Callable[..., None], sender: Connection, args: tuple[Any, ...]) -> None:
    function(sender, *args)
