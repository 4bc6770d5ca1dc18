"""What may be stored: names, ids and vectors at the edges of what is allowed."""

import numpy as np
import pytest

from vectoray.core.errors import DimensionMismatch, InvalidName, InvalidRequest, LimitExceeded
from vectoray.core.model import FloatVector, Metric
from vectoray.core.vectors import (
    MAX_ID_BYTES,
    MAX_SOURCE_BYTES,
    check_chunk_index,
    check_id,
    check_name,
    check_source,
    check_vector,
    stack_vectors,
)

TINIEST = float(np.finfo(np.float32).smallest_subnormal)
LARGEST = float(np.finfo(np.float32).max)


def vector(*values: float) -> FloatVector:
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float64).astype(np.float32)


@pytest.mark.parametrize("name", ["a", "0", "Docs.v2_final-3", "a" * 255])
def test_good_names_come_back_unchanged(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a" * 256, ".hidden", "-x", "_x", "a b", "a/b", "..", "naïve", "a\n", "\na", "a\x00", "٣"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        check_name(name)


def test_a_refused_name_is_repeated_only_in_part() -> None:
    with pytest.raises(InvalidName) as caught:
        check_name("!" * 100_000)
    assert caught.value.details == {"name": "!" * 255}


@pytest.mark.parametrize("point_id", ["x", " ", "\x00", "it's; --", "a" * 512, "é" * 256, "😀" * 128])
def test_ids_up_to_512_bytes_of_utf_8_are_accepted(point_id: str) -> None:
    assert check_id(point_id, where="id") == point_id


@pytest.mark.parametrize("point_id", ["a" * 513, "é" * 256 + "a", "😀" * 128 + "a"])
def test_the_limit_of_an_id_counts_bytes_not_characters(point_id: str) -> None:
    with pytest.raises(LimitExceeded, match="has 513 bytes, at most 512") as caught:
        check_id(point_id, where="vectors[2].id")
    assert caught.value.details == {"at": "vectors[2].id", "limit_bytes": MAX_ID_BYTES}


@pytest.mark.parametrize("point_id", ["", "\ud800", "ok\udfff"])
def test_an_id_that_is_empty_or_not_unicode_is_refused(point_id: str) -> None:
    with pytest.raises(InvalidRequest, match=r"vectors\[2\]\.id"):
        check_id(point_id, where="vectors[2].id")


@pytest.mark.parametrize("source", ["", "a" * 1024, "é" * 512, "docs/a b.md"])
def test_a_source_of_up_to_1024_bytes_comes_back_unchanged(source: str) -> None:
    assert check_source(source, where="source") == source


@pytest.mark.parametrize("source", ["a" * 1025, "é" * 512 + "a"])
def test_the_limit_of_a_source_counts_bytes(source: str) -> None:
    with pytest.raises(LimitExceeded, match="has 1025 bytes, at most 1024") as caught:
        check_source(source, where="source_file")
    assert caught.value.details == {"at": "source_file", "limit_bytes": MAX_SOURCE_BYTES}


def test_a_source_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="source_file is not valid Unicode"):
        check_source("\ud800", where="source_file")


def test_a_chunk_index_is_a_number_of_31_bits() -> None:
    assert [check_chunk_index(index, where="chunk_index") for index in (0, 2**31 - 1)] == [0, 2**31 - 1]
    for index in (-1, 2**31):
        with pytest.raises(InvalidRequest, match="from 0 to 2147483647"):
            check_chunk_index(index, where="chunk_index")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e39])
@pytest.mark.parametrize("metric", list(Metric))
def test_a_value_that_is_not_a_finite_float32_is_refused_by_its_place(bad: float, metric: Metric) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_vector(vector(1, bad, bad), dimension=3, metric=metric, where="vector")
    assert caught.value.details == {"at": "vector[1]"}


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_only_cosine_refuses_a_vector_of_zeros(zero: float) -> None:
    zeros = vector(zero, zero)
    with pytest.raises(InvalidRequest, match="no direction"):
        check_vector(zeros, dimension=2, metric=Metric.COSINE, where="vector")
    for metric in (Metric.DOT, Metric.EUCLIDEAN):
        assert check_vector(zeros, dimension=2, metric=metric, where="vector") is zeros


@pytest.mark.parametrize("value", [TINIEST, -TINIEST, LARGEST, -LARGEST])
@pytest.mark.parametrize("metric", list(Metric))
def test_the_extremes_of_float32_are_accepted(value: float, metric: Metric) -> None:
    given = vector(0, value)
    assert check_vector(given, dimension=2, metric=metric, where="vector") is given


@pytest.mark.parametrize("actual", [0, 1, 3])
def test_another_dimension_is_refused_before_anything_else(actual: int) -> None:
    with pytest.raises(DimensionMismatch) as caught:
        check_vector(vector(*[float("nan")] * actual), dimension=2, metric=Metric.DOT, where="vector")
    assert caught.value.details == {"expected": 2, "actual": actual, "at": "vector"}


def test_stacked_vectors_are_a_contiguous_float32_matrix_of_their_own() -> None:
    rows = [vector(1, 2), vector(3, 4)]
    matrix = stack_vectors(rows, dimension=2, metric=Metric.COSINE)
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert matrix.tolist() == [[1, 2], [3, 4]]
    rows[0][0] = 9
    assert matrix[0, 0] == 1


def test_stacking_nothing_keeps_the_dimension() -> None:
    assert stack_vectors([], dimension=7, metric=Metric.COSINE).shape == (0, 7)


@pytest.mark.parametrize(
    ("bad", "error", "at"),
    [
        (vector(1, 2, 3), DimensionMismatch, "points[1].vector"),
        (vector(1, float("nan")), InvalidRequest, "points[1].vector[1]"),
        (vector(0, 0), InvalidRequest, "points[1].vector"),
    ],
)
def test_stacking_names_the_first_bad_row(bad: FloatVector, error: type[InvalidRequest], at: str) -> None:
    with pytest.raises(error) as caught:
        stack_vectors(
            [vector(1, 2), bad, vector(1)], dimension=2, metric=Metric.COSINE, where="points[{row}].vector"
        )
    assert caught.value.details["at"] == at
