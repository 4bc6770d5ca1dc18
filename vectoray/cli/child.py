"""Runs a server program as a child that is stopped by the signals its parent gets."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO

from vectoray.cli import processes
from vectoray.cli.stop import end_processes

# The child has no terminal of its own to hang up; ending is what a hang-up means for it.
_FORWARDED = {
    signal.SIGINT: signal.SIGINT,
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,
}
_STOP_S = 30.0


@contextmanager
def started(
    command: Sequence[str], *, output: IO[bytes] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start ``command`` and forward SIGINT, SIGTERM and SIGHUP to it inside the ``with`` block.

    The child leads a session of its own, so Ctrl-C reaches it once, from here, and it outlives this process
    when the block ends normally. When the block raises, the child is stopped,
    with all it has started.

    Args:
        command: Program and arguments.
        output: Where its stdout and stderr go; None for where ours go.
    """
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
    )

    def forward(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            child.send_signal(_FORWARDED[signal.Signals(number)])

    previous = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield child
    except BaseException:
        _stop(child)
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _stop(child: "subprocess.Popen[bytes]") -> None:
    process = processes.find(child.pid)
    family = processes.descendants(process) if process else set()
    child.terminate()
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    end_processes(family, tick=lambda: None)
