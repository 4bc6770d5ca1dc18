"""Stops the server of a data directory, and sees to it that nothing of it is left."""

import signal
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from enum import Enum, auto

from vectoray.cli import processes
from vectoray.cli.output import Tick
from vectoray.cli.processes import Process
from vectoray.cli.server_files import ServerFiles, ServerInfo

_POLL_S = 0.1
_KILLED_S = 5.0
_LEFTOVERS_S = 5.0


class Stopped(Enum):
    """How a stop went."""

    NOTHING_RAN = auto()
    LEFTOVERS = auto()  # no server, but processes of one that had crashed
    GRACEFULLY = auto()
    KILLED = auto()


class StillRunning(Exception):
    """Processes that survived SIGKILL, or belong to another user.

    Attributes:
        pids: Their ids.
    """

    def __init__(self, pids: list[int]) -> None:
        super().__init__(f"Still running: {pids}")
        self.pids = pids


def stop_server(files: ServerFiles, *, grace_s: float, tick: Tick) -> Stopped:
    """Ask the server to stop, kill it if it does not, then end what is left of its Ray session.

    Args:
        files: Of the data directory.
        grace_s: How long the server may take to stop by itself, in seconds.
        tick: Called about ten times a second.

    Raises:
        StillRunning: Something could not be ended.
        CommandFailed: The server belongs to another user.
    """
    owner, info = files.owner(), files.info()
    # Taken before the stop: afterwards nobody can tell whose children they were.
    family = processes.descendants(owner) if owner else set()

    outcome = Stopped.NOTHING_RAN
    if owner:
        processes.send_signal(owner, signal.SIGTERM)
        outcome = Stopped.GRACEFULLY
        if not _wait(lambda: not files.locked() and not processes.is_alive(owner), grace_s, tick):
            outcome = Stopped.KILLED
            family |= {owner, *processes.descendants(owner)}
            _signal(family, signal.SIGKILL)
            _wait(lambda: not files.locked(), _KILLED_S, tick)

    leftovers = clean_up(files, info, family=family, tick=tick)
    return Stopped.LEFTOVERS if leftovers and outcome is Stopped.NOTHING_RAN else outcome


def clean_up(
    files: ServerFiles, info: ServerInfo | None, *, family: AbstractSet[Process] = frozenset(), tick: Tick
) -> bool:
    """After the server's end: end what is left of its Ray session and remove its file.

    Args:
        files: Of the data directory.
        info: What the server wrote, if it got that far.
        family: Processes known to be the server's, beside those of its Ray session.
        tick: Called about ten times a second.

    Returns:
        Whether anything was left.

    Raises:
        StillRunning: Something could not be ended.
    """
    session = processes.writing_below(info.session_dir) if info and info.session_dir else set()
    leftovers = end_processes(session | family, tick=tick)
    files.remove_info()
    return leftovers


def end_processes(family: AbstractSet[Process], *, tick: Tick) -> bool:
    """Ask the processes to end, and kill those that do not. Returns whether any was alive.

    Raises:
        StillRunning: Some survived.
    """
    if not processes.living(family):
        return False
    _signal(family, signal.SIGTERM)
    if not _wait(lambda: not processes.living(family), _LEFTOVERS_S, tick):
        _signal(family, signal.SIGKILL)
        if not _wait(lambda: not processes.living(family), _KILLED_S, tick):
            raise StillRunning(sorted(process.pid for process in processes.living(family)))
    return True


def _signal(family: AbstractSet[Process], number: signal.Signals) -> None:
    for process in family:
        processes.send_signal(process, number)


def _wait(done: Callable[[], bool], timeout_s: float, tick: Tick) -> bool:
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() >= deadline:
            return False
        tick()
        time.sleep(_POLL_S)
    return True
