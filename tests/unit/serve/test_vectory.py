"""The Vectory API's error table and translations."""

import math
from typing import Any

import pytest

from serve.detail_errors import STATUS
from serve.surfaces.vectory import translate
from vectoray.core.errors import ErrorCode, InvalidRequest
from vectoray.core.filters import And, Eq
from vectoray.core.model import Metric


def test_every_error_has_a_status() -> None:
    assert STATUS.keys() == set(ErrorCode)


def test_every_metric_has_a_name() -> None:
    assert set(translate.METRICS.values()) == set(Metric)


def test_filters_become_conditions_on_paths() -> None:
    document = {"a": 1, "b": {"c.d": "x", "e": {"f": None}}}
    assert translate.metadata_filter(document) == And(
        (Eq(("a",), 1), Eq(("b", "c.d"), "x"), Eq(("b", "e", "f"), None))
    )
    assert translate.metadata_filter({}) is None


@pytest.mark.parametrize("document", [{"a": []}, {"a": [1]}, {"a": {}}, {"a": {"b": [1]}}])
def test_filters_that_cannot_be_compared_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"filters\.a"):
        translate.metadata_filter(document)


@pytest.mark.parametrize("nested", [False, True])
def test_filters_have_so_many_values_and_no_more(*, nested: bool) -> None:
    def filters(count: int) -> dict[str, Any]:
        values: dict[str, Any] = {f"k{number}": number for number in range(count)}
        return {"a": values, "b": {}} if nested and count > 1000 else values

    found = translate.metadata_filter(filters(1000))
    assert isinstance(found, And)
    assert len(found.conditions) == 1000
    with pytest.raises(InvalidRequest, match="more than 1000 values"):
        translate.metadata_filter(filters(1001))


@pytest.mark.parametrize(("depth", "good"), [(32, True), (33, False), (900, False)])
def test_filters_nest_so_deep_and_no_deeper(depth: int, *, good: bool) -> None:
    document: Any = 1
    for _ in range(depth):
        document = {"a": document}
    if good:
        assert translate.metadata_filter(document) == And((Eq(("a",) * depth, 1),))
    else:
        with pytest.raises(InvalidRequest, match="deep"):
            translate.metadata_filter(document)


@pytest.mark.parametrize(
    ("score", "metric", "distance"),
    [
        (0.75, Metric.COSINE, 0.25),
        (12.0, Metric.DOT, -12.0),
        (0.25, Metric.EUCLIDEAN, 3.0),
        (0.0, Metric.EUCLIDEAN, math.inf),
    ],
)
def test_distances_are_what_scores_were_made_of(score: float, metric: Metric, distance: float) -> None:
    assert translate.distance_of(score, metric) == distance
