"""Power is lost at any moment: what was acknowledged is there again, and nothing is half there.

A shard lives on a `DurableImage`. At moments between any two of its changes on the disk, a state that may
survive is written elsewhere and opened; it must hold just what was acknowledged, with or without the write
that was under way. Now and then the owner is killed there, or the survivor takes the shard's place.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import lance
import numpy as np
import pytest
from hypothesis import settings

from storage import compaction, segment_files, shard, table, table_versions
from storage import writer as writer_module
from storage.reader import ShardReader
from storage.settings import StorageSettings
from storage.shard import ShardSpec, create_shard, shard_exists
from storage.writer import ShardWriter
from tests.unit.storage.durable_image import DurableImage, KilledError
from tests.unit.storage.oracle import Live, Oracle, WriteRows, outcome, points_of, table_points
from tests.unit.storage.workload import DIMENSION, next_operation, row_of
from vectoray.core.model import IndexOptions, Metric

pytestmark = pytest.mark.slow

NIGHTLY = settings.get_current_profile_name() == "nightly"
SEEDS = range(120 if NIGHTLY else 24)
STEPS = 60 if NIGHTLY else 30
# Of the moments between two changes on the disk, the share at which power is lost, for a look.
LOOKS = 0.15 if NIGHTLY else 0.08
SPEC = ShardSpec(DIMENSION, Metric.COSINE, IndexOptions())
# Nothing happens but what the trial does.
QUIET = StorageSettings(
    seal_rows=1_000_000,
    merge_factor=2,
    flush_rows=1_000_000,
    flush_interval_s=86_400,
    table_versions_keep_s=0,
)
Points = dict[str, Live]


class Trial:
    """One shard on one disk, what it must hold, and the accidents that befall it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = np.random.default_rng(seed)
        self.oracle = Oracle()
        self.under_way: Oracle | None = None
        self.created = False
        self.writer: ShardWriter | None = None
        self.left = STEPS
        self.survivors = self.kills = self.numbers = 0
        self.failure: BaseException | None = None
        self.kill_now: Callable[[], bool] = lambda: False
        self.image = self._image(0)

    @property
    def directory(self) -> Path:
        return self.image.root / "shard"

    def _image(self, number: int) -> DurableImage:
        disk, vault = self.folder / f"disk-{number}", self.folder / f"vault-{number}"
        disk.mkdir(exist_ok=True)
        vault.mkdir()
        return DurableImage(disk, vault)

    def run(self) -> None:
        disks = 0
        while self.left:
            with self.image.watching(self.look):
                try:
                    self._live()
                except KilledError:
                    self.kills += 1
                finally:
                    self._end_owner()
                self._raise_failure()
            self.image.dead = False
            if self.random.random() < 0.5:
                disks += 1
                self._write_survivor(self.folder / f"disk-{disks}")
                self.image.close()
                shutil.rmtree(self.image.root)
                self.image = self._image(disks)
        self.image.close()

    def _live(self) -> None:
        """One life of an owner: open, work, until it is killed or there is no work left."""
        moments = iter([*[False] * int(self.random.integers(20, 400)), True])
        self.kill_now = lambda: next(moments, False)
        create_shard(self.directory, SPEC)
        self.created = True
        self.writer = ShardWriter(self.directory, QUIET)
        self._settle(self.writer)
        while self.left:
            self.left -= 1
            self._step(self.writer)
            self.look("step boundary")

    def _settle(self, writer: ShardWriter) -> None:
        """Whoever opens the shard sees whether the write that was under way took place; so it stays."""
        found = points_of(writer, DIMENSION)
        assert found in self._allowed()
        if self.under_way is not None and found == self.under_way.points:
            self.oracle = self.under_way
        self.under_way = None

    def _step(self, writer: ShardWriter) -> None:
        maintenance = [writer.seal, writer.merge, writer.flush]
        chosen = self.random.random()
        if chosen < 0.3:
            maintenance[self.random.integers(3)]()
            return
        self.numbers += 1
        operation = next_operation(self.random, self.oracle, self.numbers)
        after = self.oracle.copy()
        expected = after.apply(operation)
        self.under_way = after
        assert outcome(operation, operation.submit(writer).result(30)) == expected
        # Acknowledged: from here on it must be there.
        self.oracle, self.under_way = after, None

    def _end_owner(self) -> None:
        """Let the process go, as a kill does: the disk hears nothing more of it."""
        writer, self.writer = self.writer, None
        self.image.dead = True
        if writer is not None:
            with suppress(KilledError):
                writer.close(flush=False)

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    # Looks at what would survive.

    def look(self, moment: str) -> None:
        """Called at each moment, by whichever thread is about to change the disk."""
        if self.failure is None and self.random.random() < LOOKS:
            try:
                self._check_survivor()
            except BaseException as error:  # noqa: BLE001  (the product must not take it for its own)
                error.add_note(f"Power was lost at: {moment}")
                self.failure = error
                self.image.dead = True
        if self.kill_now():
            self.image.dead = True

    def _allowed(self) -> list[Points]:
        return [self.oracle.points, *([self.under_way.points] if self.under_way is not None else [])]

    def _write_survivor(self, target: Path) -> None:
        self.image.write_survivor(target, self.random)

    def _check_survivor(self) -> None:
        self.survivors += 1
        target = self.folder / f"survivor-{self.survivors}"
        self._write_survivor(target)
        directory = target / "shard"
        if not self.created:
            create_shard(directory, SPEC)
        assert shard_exists(directory), "the shard itself is gone"
        writer = ShardWriter(directory, QUIET)
        try:
            found = points_of(writer, DIMENSION)
            assert found in self._allowed(), differences(found, self._allowed())
            rebuilt = list((directory / shard.QUARANTINE).glob(f"*/{shard.SEGMENTS}"))
            assert not rebuilt, "what the manifest names did not survive"
            reader = ShardReader(directory)
            assert points_of(reader, DIMENSION) == found
            reader.close()
            if self.random.random() < 0.2:
                self._check_table(writer, directory, found)
        finally:
            writer.close(flush=False)
            shutil.rmtree(target)

    @staticmethod
    def _check_table(writer: ShardWriter, directory: Path, found: Points) -> None:
        """The survivor goes on: another write and a flush, and the table holds just what the shard does."""
        row = row_of(0)
        writer.write(WriteRows(["another"], [row]).batch).result(30)
        writer.flush()
        held = table_points(
            lance.dataset(str(directory / shard.TABLE / f"{table_versions.NAME}.lance")).to_table()
        )
        assert held.pop("another").row == row
        assert held == found


def differences(found: Points, allowed: list[Points]) -> str:
    """What is missing and what should not be there, by the nearest state that is allowed."""
    wrong = [{name for name in {*found, *state} if found.get(name) != state.get(name)} for state in allowed]
    nearest = min(range(len(allowed)), key=lambda at: len(wrong[at]))
    lines = [
        f"{name}: {found.get(name)} instead of {allowed[nearest].get(name)}"
        for name in sorted(wrong[nearest])
    ]
    return "what survived is no state that is allowed:\n" + "\n".join(lines)


@pytest.fixture(autouse=True)
def small_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs, and compactions of the table, though there are only a few points."""
    for module in (segment_files, compaction):
        monkeypatch.setattr(module, "GRAPH_MIN_ROWS", 24)
    monkeypatch.setattr(table, "_TIDY_VERSIONS", 8)
    monkeypatch.setattr(writer_module, "_RETRY_S", 0.0)
    # One thing at a time: what may have survived is compared with what was acknowledged by then.
    monkeypatch.setattr(ShardWriter, "_merge_all", lambda *_, **__: None)


@pytest.mark.timeout(600 if NIGHTLY else 60)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_acknowledged_write_is_lost_with_the_power(tmp_path: Path, seed: int) -> None:
    trial = Trial(tmp_path, seed)
    trial.run()
    assert trial.survivors > 5
