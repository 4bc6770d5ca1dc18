"""Checks the ID tokens by which Google and Microsoft say who somebody is. See docs/adr/0034.

Both are OpenID Connect: a JSON Web Token, signed by RS256 with a published key, for one of our client ids.
They differ in who the issuer is and in when an email is to be believed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol
from uuid import UUID

import jwt

from serve.credentials.key_set import KeySet, ProviderKey
from vectoray.core.accounts import Identity
from vectoray.core.errors import Unauthenticated

_ALGORITHM = "RS256"
_CLAIMS = ("iss", "aud", "sub", "iat", "exp")
_LEEWAY_S = 60
_MAX_TOKEN_CHARACTERS = 16_384
_MAX_SUBJECT = 200

GOOGLE = "google"
MICROSOFT = "microsoft"
COMMON_TENANT = "common"
"""Stands for every tenant of Microsoft."""

_GOOGLE_ISSUERS = frozenset(("https://accounts.google.com", "accounts.google.com"))
_MICROSOFT_ISSUER = "https://login.microsoftonline.com/{tenantid}/v2.0"


@dataclass(frozen=True, slots=True)
class Person:
    """Who a provider says that somebody is.

    Attributes:
        email: None unless the provider vouches for it.
        name: "" where it does not say.
    """

    identity: Identity
    email: str | None
    name: str


class IdTokens(Protocol):
    """Checks the tokens of one provider."""

    async def check(self, token: str) -> Person:
        """Whom ``token`` names.

        Raises:
            Unauthenticated: It is not the provider's, not for us, or not valid now; which of these, is not
                told.
            Unavailable: The provider's keys cannot be fetched now.
        """


class GoogleIdTokens:
    """Tokens of Google."""

    def __init__(self, client_ids: Sequence[str], keys: KeySet) -> None:
        self._client_ids = frozenset(client_ids)
        self._keys = keys

    async def check(self, token: str) -> Person:
        """See `IdTokens`. An email is believed when ``email_verified`` is true."""
        claims, _ = await _verified(token, self._keys, self._client_ids)
        if claims["iss"] not in _GOOGLE_ISSUERS:
            _refuse()
        believed = claims.get("email_verified") is True
        return _person(Identity(GOOGLE, claims["sub"]), claims, email_believed=believed)


class MicrosoftIdTokens:
    """Tokens of Microsoft Entra ID, version 2.0."""

    def __init__(
        self, client_ids: Sequence[str], tenants: Sequence[str], email_tenants: Sequence[str], keys: KeySet
    ) -> None:
        """Tokens for these applications.

        Args:
            client_ids: Ids of our application.
            tenants: Ids of the tenants whose users may sign in; `COMMON_TENANT` for all.
            email_tenants: Ids of the tenants whose word is taken for their users' emails.
            keys: Of all tenants.
        """
        self._client_ids = frozenset(client_ids)
        self._tenants = frozenset(map(str.lower, tenants))
        self._email_tenants = frozenset(map(str.lower, email_tenants))
        self._keys = keys

    async def check(self, token: str) -> Person:
        """See `IdTokens`.

        Whoever administers a tenant can write any address into a user's ``email``. It is believed when
        Microsoft says that the tenant owns the address's domain (``xms_edov``), or when the tenant is
        trusted.
        """
        claims, key = await _verified(token, self._keys, self._client_ids)
        tenant, user = _uuid(claims.get("tid")), _uuid(claims.get("oid"))
        if COMMON_TENANT not in self._tenants and tenant not in self._tenants:
            _refuse()
        if claims["iss"] != _issuer(_MICROSOFT_ISSUER, tenant):
            _refuse()
        if key.issuer is not None and _issuer(key.issuer, tenant) != claims["iss"]:
            _refuse()
        # Written as a number or a string in some tokens. In Python, 1 equals true, and nothing else does.
        owned = claims.get("xms_edov") in (1, "1", "true")
        identity = Identity(MICROSOFT, f"{tenant}/{user}")
        return _person(identity, claims, email_believed=owned or tenant in self._email_tenants)


async def _verified(
    token: str, keys: KeySet, client_ids: frozenset[str]
) -> tuple[Mapping[str, Any], ProviderKey]:
    """What a token says and by which key, once all is checked that providers have in common."""
    if len(token) > _MAX_TOKEN_CHARACTERS:
        _refuse()
    try:
        header = jwt.get_unverified_header(token)
        key_id = header.get("kid")
        # Nothing is asked of the provider for what cannot be right.
        if header.get("alg") != _ALGORITHM or not isinstance(key_id, str):
            _refuse()
        key = await keys.find(key_id)
        if key is None:
            _refuse()
        claims = jwt.decode(
            token,
            key.public,
            algorithms=[_ALGORITHM],
            leeway=_LEEWAY_S,
            # Checked below: a list of audiences, of which we are one, is a token for somebody else.
            options={"require": list(_CLAIMS), "verify_aud": False},
        )
    except jwt.PyJWTError:
        _refuse()
    audience, subject = claims["aud"], claims["sub"]
    if not isinstance(audience, str) or audience not in client_ids:
        _refuse()
    if not isinstance(claims["iss"], str) or not 0 < len(subject) <= _MAX_SUBJECT:
        _refuse()
    return claims, key


def _person(identity: Identity, claims: Mapping[str, Any], *, email_believed: bool) -> Person:
    email, name = claims.get("email"), claims.get("name")
    return Person(
        identity,
        email=email if email_believed and isinstance(email, str) else None,
        name=name if isinstance(name, str) else "",
    )


def _issuer(template: str, tenant: str) -> str:
    return template.replace("{tenantid}", tenant)


def _uuid(claim: object) -> str:
    try:
        return str(UUID(claim)) if isinstance(claim, str) else _refuse()
    except ValueError:
        _refuse()


def _refuse() -> NoReturn:
    raise Unauthenticated("The token of the sign-in provider is not valid here, or not any more.")
