"""Credentials: what is one, who it is, and that it is never shown."""

import pytest

from serve.auth import LOCAL_USER, Credential, CredentialKind, Principal, authenticate, bearer_or_api_key
from vectoray.core.errors import Unauthenticated


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"authorization": "Bearer abc"}, Credential(CredentialKind.BEARER, "abc")),
        ({"authorization": "bearer  abc "}, Credential(CredentialKind.BEARER, "abc")),
        ({"authorization": "Basic abc"}, Credential(CredentialKind.BEARER, "")),
        ({"authorization": ""}, Credential(CredentialKind.BEARER, "")),
        ({"x-api-key": "vy_1"}, Credential(CredentialKind.API_KEY, "vy_1")),
        ({"x-api-key": ""}, Credential(CredentialKind.API_KEY, "")),
        ({"authorization": "Bearer a", "x-api-key": "b"}, Credential(CredentialKind.BEARER, "a")),
    ],
)
def test_a_header_that_is_sent_is_a_credential(headers: dict[str, str], expected: Credential | None) -> None:
    assert bearer_or_api_key(headers) == expected


def test_a_caller_without_credential_is_local_where_that_is_allowed() -> None:
    assert authenticate(None, anonymous_allowed=True) == Principal(LOCAL_USER)


def test_a_caller_without_credential_is_refused_elsewhere() -> None:
    with pytest.raises(Unauthenticated, match="needed"):
        authenticate(None, anonymous_allowed=False)


@pytest.mark.parametrize("anonymous_allowed", [True, False])
def test_a_credential_that_is_sent_is_refused_everywhere(*, anonymous_allowed: bool) -> None:
    credential = Credential(CredentialKind.BEARER, "s3cret")
    with pytest.raises(Unauthenticated) as refusal:
        authenticate(credential, anonymous_allowed=anonymous_allowed)
    assert "s3cret" not in str(refusal.value)


def test_a_credential_does_not_show_its_secret() -> None:
    assert "s3cret" not in repr(Credential(CredentialKind.API_KEY, "s3cret"))
