"""Finds and signals processes through /proc, without ever hitting one that got a recycled id."""

import os
import re
import signal
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One process for good: the kernel gives an id out again, but not with the same start time.

    Attributes:
        start_ticks: Clock ticks from boot to its start.
    """

    pid: int
    start_ticks: int


def all_pids() -> list[int]:
    """The ids of all processes that can be seen, lowest first."""
    return sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def find(pid: int) -> Process | None:
    """The living process with that id; None when there is none, or only its zombie.

    A zombie with more than one thread is not dead: the others still hold its files and locks.
    """
    fields = _stat(pid)
    if fields is None or fields[0] == "X" or (fields[0] == "Z" and int(fields[17]) <= 1):
        return None
    return Process(pid, int(fields[19]))


def is_alive(process: Process) -> bool:
    """Whether it still runs."""
    return find(process.pid) == process


def has_open(process: Process, path: Path) -> bool:
    """Whether the process has the file open. False too when this user may not know."""
    with suppress(OSError):
        wanted = path.stat()
        for descriptor in (_PROC / str(process.pid) / "fd").iterdir():
            with suppress(OSError):
                if os.path.samestat(descriptor.stat(), wanted):
                    return True
    return False


def descendants(process: Process) -> set[Process]:
    """Its children, their children, and so on."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid in all_pids():
        fields = _stat(pid)
        if fields is not None:
            children[int(fields[1])].append(pid)
    found: set[Process] = set()
    waiting = list(children[process.pid])
    while waiting:
        pid = waiting.pop()
        child = find(pid)
        if child and child not in found:
            found.add(child)
            waiting.extend(children[pid])
    return found


def mentioning(directory: str) -> set[Process]:
    """Processes whose command line names ``directory`` or something in it.

    This process and those that started it are left out: a script may name the directory and stop the server.

    Args:
        directory: An absolute path below the root; anything else matches nothing.
    """
    if not directory.startswith("/") or not directory.strip("/"):
        return set()
    # "/tmp/session_1" must not match "/tmp/session_10".
    pattern = re.compile(re.escape(directory.rstrip("/").encode()) + rb"(?![\w.-])")
    found = set()
    for pid in set(all_pids()) - _lineage():
        with suppress(OSError):
            if pattern.search((_PROC / str(pid) / "cmdline").read_bytes()):
                process = find(pid)
                if process:
                    found.add(process)
    return found


def writing_below(directory: str) -> set[Process]:
    """Processes that have a file below ``directory`` open for writing; who only reads there is left out.

    Args:
        directory: An absolute path below the root; anything else matches nothing.
    """
    if not directory.startswith("/") or not directory.strip("/"):
        return set()
    prefix = os.path.realpath(directory) + "/"
    found = set()
    for pid in set(all_pids()) - _lineage():
        with suppress(OSError):
            if any(_is_written(pid, entry.name, prefix) for entry in (_PROC / str(pid) / "fd").iterdir()):
                process = find(pid)
                if process:
                    found.add(process)
    return found


def _is_written(pid: int, descriptor: str, prefix: str) -> bool:
    folder = _PROC / str(pid)
    with suppress(OSError):
        if str((folder / "fd" / descriptor).readlink()).startswith(prefix):
            flags = re.search(rb"flags:\s*0*([0-7]+)", (folder / "fdinfo" / descriptor).read_bytes())
            return flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False


def send_signal(process: Process, number: signal.Signals) -> None:
    """Signal the process if it still runs and is this user's."""
    with suppress(ProcessLookupError, PermissionError):
        handle = os.pidfd_open(process.pid)
        try:
            # The handle is for whoever has the id now; from here on it cannot change hands.
            if is_alive(process):
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def living(processes: Iterable[Process]) -> set[Process]:
    """Those that still run."""
    return {process for process in processes if is_alive(process)}


def _lineage() -> set[int]:
    """This process, its parent, and so on."""
    lineage: set[int] = set()
    pid = os.getpid()
    while pid and pid not in lineage:
        lineage.add(pid)
        fields = _stat(pid)
        pid = int(fields[1]) if fields else 0
    return lineage


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name: state first, then parent, ... (proc(5) field 3 on)."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
