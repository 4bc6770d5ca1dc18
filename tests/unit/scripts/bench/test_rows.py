"""The pure parts of the rows."""

import os
from pathlib import Path

import pytest

from scripts.bench.context import Context
from scripts.bench.fsyncs import count_fsyncs
from scripts.bench.growth import log_ratio
from scripts.bench.hot_spots import hottest
from scripts.bench.memory import parse_rollup
from scripts.bench.other_load import CpuSeconds
from scripts.bench.rows import ROWS, row_named
from storage.files import write_durable


def test_a_tenfold_shard_may_cost_as_much_more_as_its_logarithm_grows() -> None:
    assert log_ratio(10_000, 100_000) == pytest.approx(1.25)
    assert log_ratio(100_000, 1_000_000) == pytest.approx(1.2)


def test_the_hottest_functions_are_those_on_top_of_the_stacks() -> None:
    stacks = ["main (a.py:1);search (b.py:2) 30", "main (a.py:1);scan (c.py:3) 50", "search (b.py:2) 20", ""]
    assert hottest(stacks, 5) == [("search (b.py:2)", 0.5), ("scan (c.py:3)", 0.5)]


def test_sizes_of_the_kernel_are_read_as_bytes() -> None:
    text = "55d0-7ffc ---p 00000000 00:00 0    [rollup]\nRss:         1024 kB\nAnonymous:      8 kB\n"
    assert parse_rollup(text) == {"Rss": 1024 * 1024, "Anonymous": 8 * 1024}


def test_only_fsyncs_of_the_log_count_for_its_groups(tmp_path: Path) -> None:
    log, segments = tmp_path / "log", tmp_path / "segments"
    log.mkdir()
    segments.mkdir()
    before = os.fsync
    with count_fsyncs(log) as count:
        write_durable(log / "1.arrow", b"a group")
        write_durable(segments / "rows.arrow", b"rows")
    assert (count.started, count.finished, count.folders) == (1, 1, 1)
    assert count.others.total() == 2
    assert os.fsync is before


def test_a_scale_shrinks_every_number_of_points_but_not_to_nothing(tmp_path: Path) -> None:
    context = Context(tmp_path, scale=0.01)
    assert context.scaled(200_000) == 2000
    assert context.scaled(10_000) == 1000
    assert context.shard(200_000) == tmp_path / "settled-2000"


def test_a_million_points_are_for_full_runs(tmp_path: Path) -> None:
    growth = row_named("growth")
    assert 1_000_000 not in growth.needs(Context(tmp_path))
    assert 1_000_000 in growth.needs(Context(tmp_path, full=True))


def test_what_neither_this_process_nor_its_children_used_was_used_by_others() -> None:
    before, after = CpuSeconds(busy=100, own=10, wall=1000), CpuSeconds(busy=118, own=22, wall=1010)
    assert after.others_since(before) == pytest.approx(0.6)
    assert CpuSeconds(busy=110, own=21, wall=1010).others_since(before) == 0


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
