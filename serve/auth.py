"""Who is calling: from a credential to a principal. Knows no HTTP framework beyond headers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

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
    """

    user: str


def bearer_or_api_key(headers: Mapping[str, str]) -> Credential | None:
    """The credential in ``Authorization`` or else in ``X-API-Key``; None when neither is sent.

    A header in a form that nobody can check is a credential all the same, and thus a wrong one.
    """
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        return Credential(CredentialKind.BEARER, token.strip() if scheme.lower() == "bearer" else "")
    key = headers.get("x-api-key")
    return Credential(CredentialKind.API_KEY, key) if key is not None else None


def authenticate(credential: Credential | None, *, anonymous_allowed: bool) -> Principal:
    """Who sent ``credential``.

    There are no accounts, so no credential can be right; one that is sent is refused even where none is
    needed, because its sender believes to be somebody.

    Args:
        credential: What was sent, if anything.
        anonymous_allowed: Whether a caller without a credential is the built-in user `LOCAL_USER`.

    Raises:
        Unauthenticated: The credential is wrong, or missing where one is needed.
    """
    if credential is not None:
        raise Unauthenticated("The credential is not valid.")
    if not anonymous_allowed:
        raise Unauthenticated("A credential is needed: send 'Authorization: Bearer ...' or 'X-API-Key: ...'.")
    return Principal(LOCAL_USER)
