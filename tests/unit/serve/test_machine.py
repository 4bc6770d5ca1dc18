"""How busy the machine is, with and without a control group that allows less than there is."""

from pathlib import Path
from threading import Thread
from typing import NamedTuple
from unittest.mock import patch

import psutil
import pytest

from serve.machine import Machine

GIB = 2**30


class Memory(NamedTuple):
    """What psutil says of it."""

    total: int
    percent: float


@pytest.fixture
def group(tmp_path: Path) -> Path:
    folder = tmp_path / "group"
    folder.mkdir()
    return folder


def memory(group: Path, tmp_path: Path, **files: str) -> float:
    for name, content in files.items():
        (group / f"memory.{name}").write_text(content)
    with patch.object(psutil, "virtual_memory", return_value=Memory(8 * GIB, 25.0)):
        return Machine(tmp_path, control_group=group).load().memory


def test_a_real_machine_has_shares_from_0_to_100(tmp_path: Path) -> None:
    load = Machine(tmp_path).load()
    assert all(0 <= share <= 100 for share in (load.cpu, load.memory, load.disk))
    assert load.memory > 0
    assert load.disk == pytest.approx(psutil.disk_usage(str(tmp_path)).percent, abs=1)


@pytest.mark.parametrize(
    "files",
    [{}, {"max": "max", "current": "1"}, {"max": str(8 * GIB), "current": "1"}, {"max": "1024"}],
    ids=["no group", "no limit", "all there is", "nothing told"],
)
def test_without_a_limit_the_machines_memory_counts(
    group: Path, tmp_path: Path, files: dict[str, str]
) -> None:
    assert memory(group, tmp_path, **files) == 25.0


def test_within_a_limit_memory_that_can_be_taken_back_does_not_count(group: Path, tmp_path: Path) -> None:
    files = {"max": str(2 * GIB), "current": str(GIB)}
    assert memory(group, tmp_path, **files) == 50.0
    stat = f"anon 7\ninactive_file {GIB // 2}\nactive_file 9\n"
    assert memory(group, tmp_path, **files, stat=stat) == 25.0


class Times(NamedTuple):
    """What psutil says of the CPUs, in seconds."""

    user: float
    idle: float
    iowait: float
    guest: float


def test_the_cpus_are_measured_since_the_sample_before_whoever_asks(tmp_path: Path) -> None:
    samples = [Times(10, 80, 10, 5), Times(30, 90, 60, 15), Times(30, 190, 60, 15), Times(30, 190, 60, 15)]
    shares: list[float] = []
    with (
        patch.object(psutil, "cpu_times", side_effect=samples),
        patch("serve.machine.time.monotonic", side_effect=[0.0, 1.0, 2.0]),
    ):
        machine = Machine(tmp_path)
        for _ in samples[1:]:
            asking = Thread(target=lambda: shares.append(machine.load().cpu))
            asking.start()
            asking.join()
    # Of 80 seconds 60 were idle or waiting; the 10 of a guest are counted as a user's as well.
    assert shares == [pytest.approx(25), 0, 0]


def test_who_asks_often_gets_the_same_sample(tmp_path: Path) -> None:
    with (
        patch.object(psutil, "disk_usage", wraps=psutil.disk_usage) as measure,
        patch("time.monotonic") as clock,
    ):
        machine = Machine(tmp_path)
        for now_s, measured in ((100.0, 1), (100.9, 1), (101.0, 2)):
            clock.return_value = now_s
            machine.load()
            assert measure.call_count == measured
