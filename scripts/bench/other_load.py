"""How much of the machine other processes used while something was measured."""

import resource
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import psutil


@dataclass(frozen=True, slots=True)
class CpuSeconds:
    """The processor's time since some beginning.

    Attributes:
        busy: Spent by any process, or taken by another machine on the same host.
        own: Spent by this process, its ended children, and those running processes that were named.
        wall: By the clock.
    """

    busy: float
    own: float
    wall: float

    @classmethod
    def now(cls, running: Iterable[int] = ()) -> Self:
        """As it is.

        Args:
            running: Processes that are no others, with their descendants.
        """
        times = psutil.cpu_times()
        busy = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        this = resource.getrusage(resource.RUSAGE_SELF)
        own = (
            this.ru_utime
            + this.ru_stime
            + children.ru_utime
            + children.ru_stime
            + sum(map(cpu_s_of_family, running))
        )
        return cls(busy, own, time.monotonic())

    def others_since(self, before: Self) -> float:
        """How many cores others kept busy on average; children that are still running are others."""
        others = (self.busy - before.busy) - (self.own - before.own)
        return max(0.0, others / (self.wall - before.wall))


def cpu_s_of_family(pid: int) -> float:
    """Seconds of processor time that a process and its descendants have used; of those that live now."""
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    used = 0.0
    for process in family:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
    return used
