"""Who is calling: what callers send to prove it, and what is known of them then.

Of HTTP it knows headers and query strings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qs

from vectoray.core.accounts import ALL_SCOPES, Scope
from vectoray.core.errors import Unauthenticated

LOCAL_USER = "local"


class CredentialKind(StrEnum):
    """How a credential was sent."""

    BEARER = "bearer"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller sent to prove who they are. Its secret is in no ``repr`` and so in no log."""

    kind: CredentialKind
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling.

    Attributes:
        user: Whose collections are the caller's own.
        is_admin: Whether everybody's collections are the caller's as well.
        scopes: What the credential allows, all that is included named.
        collections: Ids of the only collections that the credential reaches; None for all of the caller's.
        key_id: The API key that was sent, if one was.
        with_local: Whether the collections of `LOCAL_USER` are the caller's as well.
        epoch: Of the user, when the credential was checked.
        rate_limit: Requests per minute that the credential allows; None if it does not say.
        share_token: What was sent to read a shared project, not checked; see `Access.SHARED`.
    """

    user: str
    is_admin: bool = False
    scopes: frozenset[Scope] = ALL_SCOPES
    collections: frozenset[str] | None = None
    key_id: str | None = None
    with_local: bool = False
    epoch: int = 0
    rate_limit: int | None = None
    share_token: str | None = field(default=None, repr=False)


ANONYMOUS = Principal(LOCAL_USER)
"""A caller without a credential, where that is allowed."""


class Access(StrEnum):
    """Who may call a handler."""

    OPEN = "open"
    """Everybody: one proves there who one is, or becomes somebody."""

    CALLER = "caller"
    """Whoever has a credential and, in the local profile, whoever has none."""

    SHARED = "shared"
    """Whoever has a credential or a share token, which opens one project for reading, or both."""

    SIGNED_IN = "signed_in"
    """Whoever has a credential."""


def bearer_or_api_key(headers: Mapping[str, str], _query: bytes) -> Credential | None:
    """The credential in ``Authorization`` or else in ``X-API-Key``; None when neither is sent.

    A header in a form that nobody can check is a credential all the same, and thus a wrong one.
    """
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        return Credential(CredentialKind.BEARER, token.strip() if scheme.lower() == "bearer" else "")
    key = headers.get("x-api-key")
    return Credential(CredentialKind.API_KEY, key) if key is not None else None


def header_or_query(headers: Mapping[str, str], query: bytes) -> Credential | None:
    """As `bearer_or_api_key`, or else the key in ``?api_key=``, for clients that cannot send headers."""
    credential = bearer_or_api_key(headers, query)
    if credential is not None or not query:
        return credential
    keys = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("api_key")
    return Credential(CredentialKind.API_KEY, keys[-1]) if keys is not None else None


def share_token_of(headers: Mapping[str, str], query_string: bytes) -> str | None:
    """The share token in ``X-Share-Token`` or else in ``?share_token=``; None when neither is sent."""
    token = headers.get("x-share-token")
    if token is None and b"share_token=" in query_string:
        token = parse_qs(query_string.decode("latin-1")).get("share_token", [None])[-1]
    return token


def token_holder(share_token: str) -> Principal:
    """Who a caller is that has a share token and no credential: nobody with anything of their own."""
    return Principal("", scopes=frozenset((Scope.READ,)), share_token=share_token)


def anonymous(access: Access, *, allowed: bool) -> Principal:
    """Who a caller without a credential is.

    Args:
        access: What the handler asks for.
        allowed: Whether they are the built-in user `LOCAL_USER`.

    Raises:
        Unauthenticated: A credential is needed.
    """
    if access is Access.OPEN or (allowed and access is Access.CALLER):
        return ANONYMOUS
    raise Unauthenticated("A credential is needed: send 'Authorization: Bearer ...' or 'X-API-Key: ...'.")
