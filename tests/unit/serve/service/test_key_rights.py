"""What an API key is to allow, from the JSON that says so."""

from typing import Any
from uuid import uuid4

import pytest

from serve.service.key_rights import KeyRights
from vectoray.core.accounts import ALL_SCOPES, Scope
from vectoray.core.errors import InvalidRequest

ID = str(uuid4())


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        ({}, KeyRights(ALL_SCOPES, None)),
        ({"scopes": ["read"]}, KeyRights(frozenset((Scope.READ,)), None)),
        ({"scopes": ["write"]}, KeyRights(frozenset((Scope.READ, Scope.WRITE)), None)),
        ({"scopes": ["read", "admin"]}, KeyRights(ALL_SCOPES, None)),
        (
            {"collections": [ID.upper(), ID, ID.replace("-", ""), f"urn:uuid:{{{ID}}}"]},
            KeyRights(ALL_SCOPES, frozenset((ID,))),
        ),
    ],
)
def test_permissions_limit_what_is_named(permissions: dict[str, Any], expected: KeyRights) -> None:
    assert KeyRights.of(permissions) == expected


@pytest.mark.parametrize(
    "permissions",
    [
        {"scope": ["read"]},
        {"scopes": []},
        {"scopes": "read"},
        {"scopes": None},
        {"scopes": [1]},
        {"scopes": ["root"]},
        {"collections": []},
        {"collections": ["docs"]},
        {"collections": [ID] * 1001},
        {"collections": ["{" * 1000 + ID]},
    ],
)
def test_anything_else_is_refused(permissions: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"^permissions.*\.$"):
        KeyRights.of(permissions)
