"""ID tokens of Google and Microsoft: which are right, and whose emails are believed."""

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from serve.credentials.id_tokens import GoogleIdTokens, IdTokens, MicrosoftIdTokens, Person
from serve.credentials.key_set import KeySet
from tests.unit.serve.credentials.provider import (
    CLIENT_ID,
    OID,
    TENANT,
    Provider,
    google_claims,
    jwk,
    microsoft_claims,
    provider_running,
    published,
    rsa_key,
    signed,
)
from vectoray.core.accounts import Identity
from vectoray.core.errors import Unauthenticated

OTHER_TENANT = "aaaaaaaa-2222-3333-4444-555555555555"
ISSUER = "https://login.microsoftonline.com/{}/v2.0"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with provider_running() as running:
        yield running


@pytest.fixture
def google(provider: Provider) -> IdTokens:
    return GoogleIdTokens([CLIENT_ID, "another-app"], KeySet(provider.url))


def microsoft(
    provider: Provider, tenants: tuple[str, ...] = (TENANT,), *, email_tenants: tuple[str, ...] = ()
) -> IdTokens:
    return MicrosoftIdTokens([CLIENT_ID], tenants, email_tenants, KeySet(provider.url))


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode()


def signed_by_the_public_key() -> str:
    """By HS256, under what everybody can read."""
    pem = rsa_key("a").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = f"{encoded({'alg': 'HS256', 'kid': 'a', 'typ': 'JWT'})}.{encoded(google_claims())}"
    digest = hmac.new(pem, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


async def test_a_token_of_google_names_a_person(google: IdTokens) -> None:
    ann = Person(Identity("google", "1234567890"), "ann@example.com", "Ann")
    for issuer in ("https://accounts.google.com", "accounts.google.com"):
        assert await google.check(signed(google_claims(iss=issuer))) == ann
    assert await google.check(signed(google_claims(aud="another-app"))) == ann


def in_s(seconds: float) -> int:
    return int(time.time() + seconds)


def altered() -> str:
    right = signed(google_claims())
    return right[:-4] + ("AAAA" if right[-4:] != "AAAA" else "BBBB")


BAD_TOKENS: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "no token": lambda: "x",
    "long": lambda: "x" * 20_000,
    "no algorithm": lambda: f"{encoded({'alg': 'none', 'kid': 'a'})}.{encoded(google_claims())}.",
    "signed by the public key": signed_by_the_public_key,
    "another algorithm": lambda: jwt.encode(google_claims(), rsa_key("a"), "RS512", headers={"kid": "a"}),
    "somebody else's key": lambda: signed(google_claims(), "b", kid="a"),
    "unknown key": lambda: signed(google_claims(), "b"),
    "no key": lambda: jwt.encode(google_claims(), rsa_key("a"), "RS256"),
    "altered": altered,
    "for somebody else": lambda: signed(google_claims(aud="their-app")),
    "for several": lambda: signed(google_claims(aud=[CLIENT_ID, "their-app"])),
    "of another issuer": lambda: signed(google_claims(iss="https://accounts.example.com")),
    "issuer is a list": lambda: signed(google_claims(iss=["https://accounts.google.com"])),
    "expired": lambda: signed(google_claims(exp=in_s(-120))),
    "not yet": lambda: signed(google_claims(nbf=in_s(600))),
    "from the future": lambda: signed(google_claims(iat=in_s(600))),
    "no expiry": lambda: signed(google_claims(exp=None)),
    "no audience": lambda: signed(google_claims(aud=None)),
    "no issuer": lambda: signed(google_claims(iss=None)),
    "nobody": lambda: signed(google_claims(sub="")),
    "long subject": lambda: signed(google_claims(sub="1" * 201)),
}


@pytest.mark.parametrize("name", BAD_TOKENS)
async def test_a_wrong_token_is_refused_with_one_sentence(google: IdTokens, name: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        await google.check(BAD_TOKENS[name]())
    assert refusal.value.message == "The token of the sign-in provider is not valid here, or not any more."


@pytest.mark.parametrize("name", ["no token", "no algorithm", "signed by the public key", "no key"])
async def test_for_what_cannot_be_right_nothing_is_fetched(
    google: IdTokens, provider: Provider, name: str
) -> None:
    with pytest.raises(Unauthenticated):
        await google.check(BAD_TOKENS[name]())
    assert provider.asked == 0


async def test_clocks_may_differ_a_little(google: IdTokens) -> None:
    assert await google.check(signed(google_claims(iat=in_s(30), exp=in_s(-30))))


@pytest.mark.parametrize("verified", [False, None, "true", 1.5, "false", 0])
async def test_google_must_say_that_an_email_is_verified(google: IdTokens, verified: object) -> None:
    assert (await google.check(signed(google_claims(email_verified=verified)))).email is None


async def test_a_token_of_microsoft_names_a_person(provider: Provider) -> None:
    ann = Person(Identity("microsoft", f"{TENANT}/{OID}"), "ann@example.com", "Ann")
    for tenants in ((TENANT,), (TENANT.upper(), OTHER_TENANT), ("common",)):
        assert await microsoft(provider, tenants).check(signed(microsoft_claims())) == ann


BAD_MICROSOFT: dict[str, dict[str, Any]] = {
    "another tenant": {"tid": OTHER_TENANT, "iss": ISSUER.format(OTHER_TENANT)},
    "issued by another tenant": {"iss": ISSUER.format(OTHER_TENANT)},
    "claims another tenant": {"tid": OTHER_TENANT},
    "version 1": {"iss": f"https://sts.windows.net/{TENANT}/"},
    "common is nobody": {"tid": "common", "iss": ISSUER.format("common")},
    "no tenant": {"tid": None},
    "no user": {"oid": None},
    "a name for a user": {"oid": "ann"},
    "for somebody else": {"aud": "their-app"},
}


@pytest.mark.parametrize("changes", BAD_MICROSOFT.values(), ids=BAD_MICROSOFT)
async def test_a_wrong_token_of_microsoft_is_refused(provider: Provider, changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        await microsoft(provider).check(signed(microsoft_claims(**changes)))


@pytest.mark.parametrize("name", ["issued by another tenant", "claims another tenant", "common is nobody"])
async def test_any_tenant_speaks_for_itself_alone(provider: Provider, name: str) -> None:
    tokens = microsoft(provider, ("common",))
    with pytest.raises(Unauthenticated):
        await tokens.check(signed(microsoft_claims(**BAD_MICROSOFT[name])))


async def test_a_key_of_one_tenant_signs_for_no_other(provider: Provider) -> None:
    tokens = microsoft(provider, ("common",))
    provider.answer = published(
        jwk("a", issuer=ISSUER.format("{tenantid}")), jwk("b", issuer=ISSUER.format(OTHER_TENANT))
    )
    assert await tokens.check(signed(microsoft_claims()))
    with pytest.raises(Unauthenticated):
        await tokens.check(signed(microsoft_claims(), "b"))


@pytest.mark.parametrize(
    ("edov", "believed"),
    [(True, True), (1, True), ("1", True), ("true", True), (False, False), (None, False), ("0", False)],
)
async def test_an_email_of_microsoft_is_believed_of_its_domains_owner(
    provider: Provider, edov: object, *, believed: bool
) -> None:
    person = await microsoft(provider).check(signed(microsoft_claims(xms_edov=edov, email_verified=True)))
    assert (person.email == "ann@example.com") is believed


@pytest.mark.parametrize(("trusted", "believed"), [(TENANT, True), (OTHER_TENANT, False)])
async def test_an_email_of_a_trusted_tenant_is_believed(
    provider: Provider, trusted: str, *, believed: bool
) -> None:
    tokens = microsoft(provider, ("common",), email_tenants=(trusted,))
    person = await tokens.check(signed(microsoft_claims(xms_edov=None)))
    assert (person.email is not None) is believed
