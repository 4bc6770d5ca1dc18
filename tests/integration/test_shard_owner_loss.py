"""A shard whose owner is killed at any moment, without Ray: nothing is lost, and nothing is half there."""

import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import lance
import numpy as np
import pytest
from hypothesis import settings

from storage.reader import ShardReader
from storage.settings import StorageSettings
from storage.shard import TABLE, ShardSpec, create_shard
from storage.writer import ShardWriter
from tests.integration.ledger import Ledger, write_state
from tests.unit.storage.oracle import Live, Oracle, points_of, table_points
from tests.unit.storage.workload import DIMENSION
from vectoray.core.model import IndexOptions, Metric

NIGHTLY = settings.get_current_profile_name() == "nightly"
KILLS = 210 if NIGHTLY else 20
# The moment of the kill: after a number of lines that the child said, or inside a step of its storage.
MOMENTS = ("any", "commit", "seal", "merge", "flush", "recover", "tidy")
# About twice as many lines as the step runs once: it may be killed in its first run or a later one.
LINES = {"commit": 400, "seal": 300, "merge": 150, "flush": 250, "recover": 90, "tidy": 40}
QUIET = StorageSettings(flush_interval_s=86_400)


@pytest.mark.timeout(3600 if NIGHTLY else 120)
def test_no_acknowledged_write_is_lost_by_kill_9_at_any_moment(tmp_path: Path) -> None:
    directory = tmp_path / "shard"
    create_shard(directory, ShardSpec(DIMENSION, Metric.COSINE, IndexOptions()))
    state = Oracle()
    random = np.random.default_rng(5)
    reached: Counter[str] = Counter()
    for run in range(KILLS):
        moment = MOMENTS[run % len(MOMENTS)]
        command = [sys.executable, "-m", "tests.integration.ledger_child", str(directory), str(run)]
        if moment != "any":
            delay_ms = float(random.choice([0.0, random.uniform(0, 3)]))
            command += ["--step", moment, "--delay-ms", str(delay_ms)]
            command += ["--line", str(random.integers(1, LINES[moment]))]
        ledger = Ledger(state, run)
        run_child(command, ledger, state, until=int(random.integers(1, 300)) if moment == "any" else 500)
        reached.update(ledger.steps_reached)
        state = survivor(directory, ledger)
        check_table(directory, state, tmp_path / "copy")
    print(f"\n{KILLS} kills, of them inside a step: {dict(reached)}")  # noqa: T201  (the nightly run's report)
    assert reached.total() >= KILLS // 2, f"too few kills inside a step: {reached}"
    assert not NIGHTLY or set(reached) == set(LINES)


def run_child(command: list[str], ledger: Ledger, state: Oracle, *, until: int) -> None:
    """Let the child work until it kills itself, or has said ``until`` lines; in any case by kill -9."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdin.write(write_state(state))
        child.stdin.close()
        for lines in ledger.follow(child.stdout):
            if lines == until:
                child.kill()
        error = child.stderr.read().decode(errors="replace")
    assert child.returncode == -signal.SIGKILL, f"the child ended by itself:\n{error[-3000:]}"


def survivor(directory: Path, ledger: Ledger) -> Oracle:
    """The state that the shard is in, as its next owner and a reader see it; it must be an allowed one."""
    writer = ShardWriter(directory, QUIET)
    try:
        found = points_of(writer, DIMENSION)
        assert writer.stats().points == len(found)
        reader = ShardReader(directory)
        assert points_of(reader, DIMENSION) == found
        reader.close()
    finally:
        writer.close(flush=False)
    allowed = ledger.allowed()
    # The newest first: operations that change nothing leave several alike.
    for state in reversed(allowed):
        if state.points == found:
            return state
    pytest.fail(f"The shard is in no state that is allowed: {differences(found, allowed[0].points)}")


def differences(found: dict[str, Live], expected: dict[str, Live]) -> str:
    """What differs from what was acknowledged."""
    names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    return "\n".join(f"{name}: {found.get(name)} instead of {expected.get(name)}" for name in names)


def check_table(directory: Path, state: Oracle, copy: Path) -> None:
    """A flush writes just the live points, whatever state the killed one left the table in.

    On a copy, so that the next owner meets that state, too.
    """
    shutil.copytree(directory, copy)
    writer = ShardWriter(copy, QUIET)
    writer.flush()
    writer.close(flush=False)
    place = copy / TABLE / "points.lance"
    held = table_points(lance.dataset(str(place)).to_table()) if place.exists() else {}
    shutil.rmtree(copy)
    assert held == state.points, differences(held, state.points)
