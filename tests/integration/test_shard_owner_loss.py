"""A shard whose owner is killed at any moment, without Ray."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from storage.settings import StorageSettings
from storage.shard import ShardSpec, create_shard
from storage.writer import ShardWriter
from vectoray.core.model import IndexOptions, Metric, SearchQuery

KILLS = 12


def test_no_acknowledged_write_is_lost_by_kill_9_at_any_moment(tmp_path: Path) -> None:
    directory = tmp_path / "shard"
    create_shard(directory, ShardSpec(8, Metric.COSINE, IndexOptions()))
    live: set[str] = set()
    deleting: set[str] = set()
    moments = np.random.default_rng(5)
    for run in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.ledger_child", str(directory), str(run)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        # Killed after a number of acknowledgements, not of seconds: the moment differs, the load does not.
        until = int(moments.integers(1, 900))
        for acknowledged, line in enumerate(child.stdout, start=1):
            kind, point_id = line[0], line[1:].strip()
            {"+": live.add, "?": deleting.add, "-": live.discard}[kind](point_id)
            if acknowledged == until:
                child.kill()
        child.stdout.close()
        child.wait()
        writer = ShardWriter(directory, StorageSettings(flush_interval_s=86_400))
        query = SearchQuery(np.ones(8, dtype=np.float32), top_k=1_000_000)
        found = [hit.id for hit in writer.search(query)]
        writer.close(flush=run % 2 == 0)
        assert len(found) == len(set(found)), "an id is there twice"
        assert live - deleting <= set(found), "an acknowledged write is missing"
        # What was written but not yet acknowledged may be there: whole batches of the last moment only.
        extra = {point_id for point_id in set(found) - live if not point_id.startswith(f"{run}-")}
        assert not extra, "a deleted point is back"
        live = set(found)
        deleting.clear()
