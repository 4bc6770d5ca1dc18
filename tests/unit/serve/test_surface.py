"""What pydantic finds, as a sentence."""

from serve.surface import describe_faults
from vectoray.core.errors import InvalidRequest


def test_the_first_fault_is_told_and_all_are_listed() -> None:
    faults = [
        {"loc": ("body", "vectors", 3, "id"), "msg": "Field required"},
        {"loc": ("body", "vectors", 4), "msg": "Value error, a and b differ"},
    ]
    error = describe_faults(faults)
    assert type(error) is InvalidRequest
    assert error.message == "vectors[3].id: Field required (1 more)."
    assert error.details == {
        "errors": [
            {"at": "vectors[3].id", "message": "Field required"},
            {"at": "vectors[4]", "message": "a and b differ"},
        ]
    }


def test_a_fault_of_the_whole_body_has_no_place() -> None:
    assert describe_faults([{"loc": ("body",), "msg": "Input should be an object"}]).message == (
        "Input should be an object."
    )


def test_a_fault_in_the_query_names_the_parameter() -> None:
    assert describe_faults([{"loc": ("query", "limit"), "msg": "Too big"}]).message == "limit: Too big."
