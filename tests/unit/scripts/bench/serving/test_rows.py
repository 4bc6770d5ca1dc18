"""The rows' judgements, on systems that were not started."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts.bench.measurement import Figure, Verdict
from scripts.bench.serving.drive import Drive, Drives
from scripts.bench.serving.environment import NotToBeHad, environment
from scripts.bench.serving.rows.order import ROWS
from scripts.bench.serving.target import in_turns


class _Target:
    """Answers at a rate of its own, and notes when it was asked."""

    def __init__(self, name: str, rate: float, asked: list[tuple[str, int]]) -> None:
        self.name = name
        self._rate, self._asked = rate, asked

    def drive(self, connections: int, seconds: float) -> Drive:
        self._asked.append((self.name, connections))
        return Drive(self._rate * connections, 1, 2, 3, 4, {200: round(seconds)})

    def answers(self, count: int) -> list[list[int]]:
        return [[] for _ in range(count)]


def test_systems_are_asked_in_turns_after_a_warm_up() -> None:
    asked: list[tuple[str, int]] = []
    targets = [_Target("a", 10, asked), _Target("b", 5, asked)]
    found: Mapping[str, Mapping[int, Drives]] = in_turns(targets, [1, 16], rounds=2, seconds=1)
    assert asked[:2] == [("a", 4), ("b", 4)]
    assert asked[2:] == [("a", 1), ("b", 1)] * 2 + [("a", 16), ("b", 16)] * 2
    assert found["a"][16].rate == 160
    assert found["a"][1].ratio_to(found["b"][1]) == 2


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_a_figure_that_needs_a_missing_system_is_not_run() -> None:
    assert Figure("to Chroma", 2.8, None, "x").verdict is Verdict.NOT_RUN


@pytest.mark.slow
def test_a_package_that_there_is_not_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.bench.serving.environment._FOLDER", tmp_path)
    with pytest.raises(NotToBeHad, match="could not be installed"):
        environment("broken", ("not a requirement ==",))
