"""Runs a command under py-spy, and says where it spent its time."""

import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

_RATE_HZ = 200


def py_spy() -> str | None:
    """Where py-spy is, beside this Python or on the path; None when it is not installed."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def under(profiler: str, command: Sequence[str], stacks: Path) -> list[str]:
    """The command that runs another one and writes its collapsed stacks, one a line with a count."""
    options = ["--format", "raw", "--output", str(stacks), "--rate", str(_RATE_HZ), "--subprocesses"]
    return [profiler, "record", *options, "--", *command]


def hottest(stacks: Iterable[str], count: int) -> list[tuple[str, float]]:
    """The functions in which the most samples were taken, with their share of all samples.

    Args:
        stacks: Lines ``outer;...;inner samples``.
        count: How many functions at most.
    """
    samples: Counter[str] = Counter()
    for line in stacks:
        frames, _, number = line.rpartition(" ")
        if frames and number.strip().isdecimal():
            samples[frames.rpartition(";")[2]] += int(number)
    total = samples.total()
    return [(frame, taken / total) for frame, taken in samples.most_common(count)]
