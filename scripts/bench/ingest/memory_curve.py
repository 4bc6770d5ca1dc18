"""Memory of a family of processes over time, as the kernel counts it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from scripts.bench.memory import parse_rollup

_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory at one moment, in bytes. What processes share is counted once in all.

    Attributes:
        at_s: Seconds since the first sample.
        pss: The sum of the proportional set sizes.
        held: Of that, what the kernel cannot take back: anonymous and shared memory, but no mapped files.
        by_program: The held part by the names of the processes.
    """

    at_s: float
    pss: int
    held: int
    by_program: dict[str, int] = field(default_factory=dict)


class MemoryCurve:
    """Samples the memory of processes and their descendants, once a second, in a thread.

    Args:
        pids: Whose families to sample; asked anew every time.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self.samples: list[Sample] = []
        self._pids = pids
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-curve")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        began_s = time.monotonic()
        while not self._ended.is_set():
            self.samples.append(sample(self._pids(), time.monotonic() - began_s))
            self._ended.wait(_EVERY_S)


def sample(pids: Iterable[int], at_s: float = 0.0) -> Sample:
    """The memory of some processes and their descendants now; those that end meanwhile count nothing."""
    pss, by_program = 0, Counter[str]()
    for process in _families(pids):
        try:
            sizes = parse_rollup(Path(f"/proc/{process.pid}/smaps_rollup").read_text())
            program = _program(process.cmdline())
        except (OSError, psutil.Error):
            continue
        pss += sizes.get("Pss", 0)
        by_program[program] += sizes.get("Pss_Anon", 0) + sizes.get("Pss_Shmem", 0)
    return Sample(round(at_s, 1), pss, by_program.total(), dict(by_program.most_common()))


def growth(held: Sequence[int]) -> float:
    """The highest value of a curve's second half, to that of its first; nan for fewer than two values."""
    half = len(held) // 2
    return max(held[half:]) / max(held[:half]) if half else float("nan")


def _families(pids: Iterable[int]) -> set[psutil.Process]:
    found: set[psutil.Process] = set()
    for pid in pids:
        try:
            parent = psutil.Process(pid)
            found |= {parent, *parent.children(recursive=True)}
        except psutil.NoSuchProcess:
            continue
    return found


def _program(command: Sequence[str]) -> str:
    """What a process is called: Ray's workers say what they do, others are known by module or file."""
    if not command:
        return "ended"
    if command[0].startswith("ray::"):
        return command[0].split("(")[0]
    if "-m" in command[:-1]:
        return command[command.index("-m") + 1]
    scripts = [Path(word).name for word in command[:2] if word and not word.startswith("-")]
    return scripts[-1] if scripts else command[0]
