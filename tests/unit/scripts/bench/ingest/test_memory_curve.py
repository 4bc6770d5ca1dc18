"""Memory of processes, on processes that are small and known."""

import math
import os
import subprocess
import sys

import pytest

from scripts.bench.ingest.memory_curve import MemoryCurve, growth, sample

_MIB = 2**20
_HOLD = "import sys; held = bytearray(b'x') * (50 * 2**20); print('holds', flush=True); sys.stdin.read()"


def test_a_sample_has_the_memory_of_descendants_too() -> None:
    before = sample([os.getpid()])
    command = [sys.executable, "-c", _HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        after = sample([os.getpid()])
        of_child = sample([child.pid])
        child.communicate()
    assert 50 * _MIB < after.held - before.held < 80 * _MIB
    assert 50 * _MIB < of_child.held < of_child.pss
    assert sum(of_child.by_program.values()) == of_child.held


def test_a_process_that_has_ended_counts_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert sample([child.pid]).pss == 0


def test_a_curve_is_sampled_from_the_first_moment_and_asks_anew_whose_it_is() -> None:
    asked: list[int] = []

    def pids() -> list[int]:
        asked.append(1)
        return [os.getpid()]

    with MemoryCurve(pids) as curve:
        while not curve.samples:
            pass
    assert curve.samples[0].at_s < 1
    assert len(asked) == len(curve.samples)


@pytest.mark.parametrize(("held", "times"), [([4, 10, 9, 10], 1), ([5, 10, 15, 20], 2), ([3, 6, 3], 2)])
def test_growth_compares_the_tops_of_both_halves(held: list[int], times: float) -> None:
    assert growth(held) == times


def test_growth_of_a_single_sample_is_unknown() -> None:
    assert math.isnan(growth([7]))
