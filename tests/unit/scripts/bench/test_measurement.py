"""Judging of figures, percentiles, and measurements on their way between processes."""

import json
import math

import pytest

from scripts.bench.measurement import Figure, Latencies, Measurement, Verdict, percentile


@pytest.mark.parametrize(
    ("reached", "at_most", "verdict"),
    [
        (100.0, False, Verdict.REACHED),
        (99.9, False, Verdict.MISSED),
        (100.0, True, Verdict.REACHED),
        (100.1, True, Verdict.MISSED),
        (math.nan, False, Verdict.MISSED),
        (math.nan, True, Verdict.MISSED),
        (None, False, Verdict.NOT_RUN),
        (None, True, Verdict.NOT_RUN),
    ],
)
def test_a_figure_is_judged_by_its_bound(reached: float | None, at_most: bool, verdict: Verdict) -> None:  # noqa: FBT001
    assert Figure("figure", 100.0, reached, "/s", at_most).verdict is verdict


def test_one_missed_figure_is_enough_and_one_that_was_not_run_is_not() -> None:
    reached, missed = Figure("a", 1, 2, ""), Figure("b", 3, 2, "")
    not_run = Figure("c", 1, None, "")
    assert Measurement("row", (reached, not_run)).ok
    assert not Measurement("row", (reached, missed)).ok


def test_a_row_that_failed_is_not_ok_though_nothing_was_missed() -> None:
    assert not Measurement("row", error="it ended").ok


def test_a_measurement_survives_its_way_through_json() -> None:
    found = Measurement("row", (Figure("a", 1, 2, "s", at_most=True),), ("a note",), {"more": [1, 2]})
    assert Measurement.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(("share", "value"), [(0.01, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == value


def test_there_is_no_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 0.5))


def test_latencies_are_told_in_milliseconds() -> None:
    latencies = Latencies([0.001, 0.002, 0.010])
    assert str(latencies) == "p50 2.00 ms, p99 10.00 ms"
    assert latencies.to_json() == {"count": 3, "p50_ms": 2.0, "p99_ms": 10.0, "max_ms": 10.0}
