"""The runner, with rows that measure nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bench.ingest import run
from scripts.bench.ingest.bench import Bench, Ingestion
from scripts.bench.ingest.rows.files import Sampled
from scripts.bench.ingest.rows.order import ROWS, Row
from scripts.bench.measurement import Figure, Measurement


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, and where the results will be in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".bench/results"


def _use(monkeypatch: pytest.MonkeyPatch, *rows: Row) -> None:
    monkeypatch.setattr(run, "ROWS", rows)


def _reaches(value: float) -> Row:
    def measure(bench: Bench) -> Measurement:
        assert bench.folder.is_dir()
        return Measurement("a", (Figure("speed", 10, value * bench.scale, "/s"),))

    return Row("a", measure)


def test_a_figure_that_is_missed_ends_the_run_with_status_1(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _use(monkeypatch, _reaches(11))
    assert run.main([]) == 0
    assert run.main(["--scale", "0.5"]) == 1
    assert "5.5 /s  MISSED" in capsys.readouterr().out
    assert list(results.glob("ingest-*.json"))


def test_a_row_that_fails_does_not_stop_the_others(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(bench: Bench) -> Measurement:
        raise RuntimeError(f"no server at scale {bench.scale:g}")

    _use(monkeypatch, Row("b", fail), _reaches(11))
    assert run.main([]) == 1
    shown = capsys.readouterr().out
    assert "RuntimeError: no server at scale 1" in shown
    assert "speed" in shown
    assert not list((results.parent).glob("ingest-*"))


def test_only_the_rows_that_are_named_run(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(_bench: Bench) -> Measurement:
        pytest.fail("it ran")

    _use(monkeypatch, Row("never", never), _reaches(11))
    assert run.main(["--only", "a"]) == 0
    assert "speed" in capsys.readouterr().out
    assert results.is_dir()


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_work_shrinks_with_the_scale_but_not_to_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, scale=0.05)
    assert bench.scaled(20_000, least=500) == 1000
    assert bench.scaled(20_000, least=2_000) == 2000


def test_a_sample_is_embedded_in_halves_and_its_rate_is_of_both() -> None:
    seen: list[str] = []

    def embed_s(texts: list[str]) -> float:
        seen.extend(texts)
        return 0.5 * len(seen)

    alone = Sampled(embed_s, ["a", "b", "c", "d"])
    alone.measure_half()
    alone.measure_half()
    assert sorted(seen) == ["a", "b", "c", "d"]
    assert alone.per_s == pytest.approx(4 / (1.0 + 2.0))
    assert alone.ratio_of(4) == pytest.approx(3)


def test_what_is_not_installed_gives_no_figure() -> None:
    def embed_s(_texts: list[str]) -> float:
        raise ModuleNotFoundError(name="other_library")

    alone = Sampled(embed_s, ["a", "b"])
    alone.measure_half()
    assert alone.ratio_of(4) is None
    assert alone.said("the other") == "no the other: other_library is not installed"


def _ingestion(tmp_path: Path, code: str) -> Ingestion:
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=out, start_new_session=True)
    return Ingestion(process, log)


def test_an_ingestion_that_fails_says_its_last_line(tmp_path: Path) -> None:
    ingestion = _ingestion(tmp_path, "print('begun'); print('no such folder'); raise SystemExit(2)")
    with pytest.raises(RuntimeError, match="status 2 and said: no such folder"):
        ingestion.wait()


def test_an_ingestion_that_goes_on_is_ended(tmp_path: Path) -> None:
    ingestion = _ingestion(tmp_path, "import threading; threading.Event().wait()")
    assert ingestion.is_running
    ingestion.stop()
    assert not ingestion.is_running
