"""How the command line draws what a run tells."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from vectoray.cli import ingest_progress
from vectoray.cli.ingest_progress import as_line, read_counts, shown


def test_a_run_that_has_told_nothing_yet_is_starting(tmp_path: Path) -> None:
    assert as_line(read_counts(tmp_path / "progress.json")) == "starting ..."


def test_a_line_has_the_stages_that_there_are_and_how_much_is_before_them() -> None:
    counts = {"listed": 14, "read": 13, "changed": 57, "embedded": 50, "failed": 1}
    assert as_line(counts) == "listed 14, read 13 of 14, embedded 50 of 57, failed 1"
    assert as_line({"listed": 2, "fetched": 1, "failed": 0}) == "listed 2, fetched 1 of 2"


def test_a_terminal_gets_a_bar_for_each_stage_that_has_begun(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=100, color_system=None)
    with shown(path, console) as look:
        look()
        path.write_text(json.dumps({"listed": 14, "read": 7, "failed": 0}))
        look()
        path.write_text(json.dumps({"listed": 14, "read": 14, "changed": 57, "embedded": 57}))
        look()
    text = drawn.getvalue()
    assert "listed" in text
    assert "14/14" in text
    assert "57/57" in text
    assert "fetched" not in text


def test_what_is_no_terminal_gets_a_line_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = 100.0
    monkeypatch.setattr(ingest_progress, "monotonic", lambda: now_s)
    path = tmp_path / "progress.json"
    path.write_text(json.dumps({"listed": 3}))
    with shown(path, Console(file=io.StringIO())) as look:
        look()
        assert capsys.readouterr().err == ""
        now_s = 111.0
        look()
        look()
    assert capsys.readouterr().err == "listed 3\n"
