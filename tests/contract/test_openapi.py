"""The OpenAPI documents tell what a person needs to know before a first call."""

from typing import Any

import pytest

from serve.app import SURFACES
from serve.surface import Surface, document_of, mount

# They go well only where Google, or Microsoft, knows the server.
WITHOUT_A_PROVIDER = {"POST /api/v1/auth/google", "POST /api/v1/auth/microsoft"}
BY_NAME = pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)


def operations(surface: Surface) -> dict[str, dict[str, Any]]:
    """The operations of a family by their method and path."""
    document = document_of(surface, mount(surface, anonymous_allowed=True)[1])
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


@BY_NAME
def test_every_operation_says_what_it_does_and_who_may_call(surface: Surface) -> None:
    for name, operation in operations(surface).items():
        assert operation["summary"], name
        assert operation["description"].endswith("."), name
        assert operation["tags"], name
        assert "security" in operation, name


@BY_NAME
def test_every_operation_shows_a_request_and_an_answer_that_a_server_gave(surface: Surface) -> None:
    for name, operation in operations(surface).items():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        assert body is None or "example" in body, f"{name}: no example of a request"
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/json")
            if status < "300" and content is not None and name not in WITHOUT_A_PROVIDER:
                assert "example" in content, f"{name}: no example of an answer"
