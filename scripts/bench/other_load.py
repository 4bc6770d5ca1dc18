"""How much of the machine other processes used while something was measured."""

import resource
import time
from dataclasses import dataclass
from typing import Self

import psutil


@dataclass(frozen=True, slots=True)
class CpuSeconds:
    """The processor's time since some beginning.

    Attributes:
        busy: Spent by any process, or taken by another machine on the same host.
        own: Spent by ended children of this process.
        wall: By the clock.
    """

    busy: float
    own: float
    wall: float

    @classmethod
    def now(cls) -> Self:
        """As it is."""
        times = psutil.cpu_times()
        busy = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(busy, children.ru_utime + children.ru_stime, time.monotonic())

    def others_since(self, before: Self) -> float:
        """How many cores others kept busy on average; children that are still running are others."""
        others = (self.busy - before.busy) - (self.own - before.own)
        return max(0.0, others / (self.wall - before.wall))
