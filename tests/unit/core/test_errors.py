"""The error tree: what every API family, and every process boundary, relies on."""

import pickle

import pytest

from vectoray.core import errors
from vectoray.core.errors import ErrorCode, RateLimited, Unavailable, VectorayError


def tree_below(base: type[VectorayError]) -> list[type[VectorayError]]:
    """The class and all its descendants that the product defines."""
    below = [found for child in base.__subclasses__() for found in tree_below(child)]
    return [base, *(found for found in below if found.__module__ == errors.__name__)]


EVERY_ERROR = tree_below(VectorayError)


def name_of(error: type[VectorayError]) -> str:
    return error.__name__


@pytest.mark.parametrize("error", EVERY_ERROR, ids=name_of)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_crosses_processes_intact(error: type[VectorayError], protocol: int) -> None:
    original = error("Vector 'é' is odd.", {"at": "vectors[3]", "limits": [1, 2.5, None, {"deep": True}]})

    copy = pickle.loads(pickle.dumps(original, protocol))  # noqa: S301

    assert type(copy) is error
    assert (copy.message, copy.details, str(copy), copy.args) == (
        original.message,
        original.details,
        "Vector 'é' is odd.",
        original.args,
    )


@pytest.mark.parametrize("error", EVERY_ERROR, ids=name_of)
def test_only_the_base_defines_init(error: type[VectorayError]) -> None:
    assert ("__init__" in vars(error)) == (error is VectorayError)


@pytest.mark.parametrize("error", EVERY_ERROR, ids=name_of)
def test_only_what_is_unavailable_is_worth_a_retry(error: type[VectorayError]) -> None:
    assert error.retryable == issubclass(error, Unavailable | RateLimited)


@pytest.mark.parametrize("leaf", [error for error in EVERY_ERROR if len(tree_below(error)) == 1], ids=name_of)
def test_a_leaf_says_its_own_code(leaf: type[VectorayError]) -> None:
    assert isinstance(vars(leaf).get("code"), ErrorCode)


def test_every_code_belongs_to_an_error() -> None:
    assert {error.code for error in EVERY_ERROR} == set(ErrorCode)


def test_an_error_keeps_a_copy_of_its_details() -> None:
    details: dict[str, object] = {"shard": 1}
    error = errors.ShardUnavailable("Shard 1 did not answer.", details)
    details["shard"] = 2
    assert error.details == {"shard": 1}
    assert errors.ShardUnavailable("Shard 1 did not answer.").details == {}


def test_the_classmethods_name_what_was_wrong() -> None:
    mismatch = errors.DimensionMismatch.of(expected=3, actual=2, where="vectors[7].vector")
    assert mismatch.message == "vectors[7].vector has 2 dimensions, the collection has 3."
    assert mismatch.details == {"expected": 3, "actual": 2, "at": "vectors[7].vector"}
    assert errors.CollectionNotFound.of("docs").details == {"collection": "docs"}
    assert errors.CollectionExists.of("docs").details == {"collection": "docs"}
    assert errors.PointNotFound.of(collection="docs", point_id="p").details == {
        "collection": "docs",
        "vector_id": "p",
    }
    assert errors.BodyTooLarge.of(limit_bytes=5).details == {"limit_bytes": 5}
