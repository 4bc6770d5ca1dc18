"""Credentials: what is one, who has none, and that it is never shown."""

import pytest

from serve.auth import (
    LOCAL_USER,
    Access,
    Credential,
    CredentialKind,
    Principal,
    anonymous,
    bearer_or_api_key,
    header_or_query,
    share_token_of,
    token_holder,
)
from vectoray.core.accounts import Scope
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
    assert bearer_or_api_key(headers, b"api_key=q") == expected


@pytest.mark.parametrize(
    ("headers", "query", "secret"),
    [
        ({}, b"api_key=vy_1", "vy_1"),
        ({}, b"since=1&api%5Fkey=vy_1", "vy_1"),
        ({}, b"since=1", None),
        ({}, b"my_api_key=1", None),
        ({}, b"a=1&api_key=b%2Bc&api_key=d", "d"),
        ({}, b"api_key=", ""),
        ({"x-api-key": "h"}, b"api_key=q", "h"),
        ({"authorization": "Bearer h"}, b"api_key=q", "h"),
    ],
)
def test_a_key_may_come_in_the_query(headers: dict[str, str], query: bytes, secret: str | None) -> None:
    credential = header_or_query(headers, query)
    assert (None if credential is None else credential.secret) == secret


@pytest.mark.parametrize(
    ("access", "allowed"), [(Access.CALLER, True), (Access.OPEN, True), (Access.OPEN, False)]
)
def test_a_caller_without_credential_is_local_where_that_is_allowed(access: Access, *, allowed: bool) -> None:
    assert anonymous(access, allowed=allowed) == Principal(LOCAL_USER)


@pytest.mark.parametrize(
    ("access", "allowed"),
    [
        (Access.CALLER, False),
        *((access, is_local) for access in (Access.SIGNED_IN, Access.SHARED) for is_local in (False, True)),
    ],
)
def test_a_caller_without_credential_is_refused_elsewhere(access: Access, *, allowed: bool) -> None:
    with pytest.raises(Unauthenticated, match="needed"):
        anonymous(access, allowed=allowed)


def test_a_credential_does_not_show_its_secret() -> None:
    assert "s3cret" not in repr(Credential(CredentialKind.API_KEY, "s3cret"))


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({}, b"", None),
        ({}, b"status=stored", None),
        ({"x-share-token": "abc"}, b"", "abc"),
        ({}, b"status=stored&share_token=a%2Bc", "a+c"),
        ({}, b"share_token=a&share_token=b", "b"),
        ({}, b"share_token=", None),
        ({}, b"no_share_token=a", None),
        ({}, b"share_token=%ff", "\ufffd"),
        ({"x-share-token": "abc"}, b"share_token=d", "abc"),
    ],
)
def test_a_share_token_is_a_header_or_in_the_url(
    headers: dict[str, str], query: bytes, expected: str | None
) -> None:
    assert share_token_of(headers, query) == expected


def test_who_has_a_share_token_alone_owns_nothing_and_writes_nothing() -> None:
    holder = token_holder("s3cret")
    assert (holder.user, holder.scopes, holder.share_token) == ("", frozenset((Scope.READ,)), "s3cret")
    assert "s3cret" not in repr(holder)
