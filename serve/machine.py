"""How busy this machine is: its CPUs, the memory that this process may use, and the disk of the data."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

# CPU time is counted in hundredths of a second: over less than this, its share would be noise.
_SAMPLED_S = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """Shares in use, in percent from 0 to 100.

    Attributes:
        cpu: Of all CPUs, since the sample before.
        memory: Of the machine's memory, or of less where a control group allows less.
        disk: Of the file system that holds the data.
    """

    cpu: float
    memory: float
    disk: float


class Machine:
    """Measures at most once a second. Its methods read files, and may wait for a slow file system."""

    def __init__(self, data_dir: Path, *, control_group: Path = Path("/sys/fs/cgroup")) -> None:
        """A machine whose data lies in ``data_dir``; ``control_group`` is the folder of this process's."""
        self._data_dir = data_dir
        self._control_group = control_group
        self._lock = threading.Lock()
        self._sample: tuple[float, Load] | None = None
        # Not by psutil.cpu_percent, which compares with what the same thread asked before: threads vary here.
        self._cpu = _CpuTimes.now()

    def load(self) -> Load:
        """How busy the machine is, as of a second ago or later."""
        with self._lock:
            now_s = time.monotonic()
            if self._sample is None or now_s - self._sample[0] >= _SAMPLED_S:
                self._sample = (now_s, self._measure())
            return self._sample[1]

    def _measure(self) -> Load:
        before, self._cpu = self._cpu, _CpuTimes.now()
        return Load(
            cpu=self._cpu.busy_percent_since(before),
            memory=_memory_percent(self._control_group),
            disk=psutil.disk_usage(str(self._data_dir)).percent,
        )


@dataclass(frozen=True, slots=True)
class _CpuTimes:
    """What all CPUs have spent since the machine started, in seconds."""

    total_s: float
    idle_s: float

    @classmethod
    def now(cls) -> "_CpuTimes":
        times = psutil.cpu_times()
        # Linux counts the time of guests as time of users as well.
        guests_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        return cls(sum(times) - guests_s, times.idle + getattr(times, "iowait", 0.0))

    def busy_percent_since(self, before: "_CpuTimes") -> float:
        total_s, idle_s = self.total_s - before.total_s, self.idle_s - before.idle_s
        # The counters of different CPUs are read one after the other, and may even go back a little.
        return min(max(100 * (1 - idle_s / total_s), 0.0), 100.0) if total_s > 0 else 0.0


def _memory_percent(control_group: Path) -> float:
    memory = psutil.virtual_memory()
    limit = _bytes(control_group / "memory.max")
    used = _bytes(control_group / "memory.current")
    if limit is None or used is None or limit >= memory.total:
        return float(memory.percent)
    return min(100.0 * (used - _reclaimable(control_group)) / limit, 100.0)


def _bytes(path: Path) -> int | None:
    """The number in a file of the control group; None where there is no such file, or no number in it."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _reclaimable(control_group: Path) -> int:
    """Pages of files that were not used lately: the kernel takes them back before memory runs short."""
    try:
        lines = (control_group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    found = (
        int(value) for name, _, value in (line.partition(" ") for line in lines) if name == "inactive_file"
    )
    return next(found, 0)
