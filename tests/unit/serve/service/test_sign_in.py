"""Signing in with a provider: which account one gets, and what becomes of whoever had it before."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from unittest.mock import patch

import pytest
from sqlalchemy import func, select, update

from serve.auth import Credential, CredentialKind, Principal
from serve.authenticator import Authenticator
from serve.credentials.id_tokens import IdTokens, Person
from serve.credentials.passwords import Passwords
from serve.credentials.tokens import Tokens
from serve.hit_counters import HitCounters
from serve.key_use import KeyUse
from serve.service.accounts import AccountService, TokenPair
from serve.service.api_keys import ApiKeyService
from serve.service.attempts import AttemptLimits, Attempts
from serve.service.sign_in import SignInService
from storage.catalog import Accounts, ApiKeys, Database, Identities
from storage.catalog.account_tables import IdentityRow, UserRow
from vectoray.core.accounts import Identity
from vectoray.core.errors import (
    InvalidRequest,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
)

EMAIL, PASSWORD, ADDRESS = "ann@example.com", "correct horse", "192.0.2.1"
ANN = Person(Identity("google", "1"), EMAIL, "Ann")
PEOPLE = {
    "ann": ANN,
    "ann at microsoft": Person(Identity("microsoft", "t/1"), EMAIL.upper(), "Ann"),
    "unverified": Person(Identity("google", "2"), None, "Bob"),
    "sharp s": Person(Identity("google", "3"), "ann@gro\u00df.example", "Ann"),
    "no email": Person(Identity("google", "4"), "ann", "Ann"),
    "long name": Person(Identity("google", "5"), "long@example.com", "x\0" * 400),
}


class Said:
    """A provider that believes whatever it is told."""

    async def check(self, token: str) -> Person:
        return PEOPLE[token]


@dataclass
class House:
    """What one gateway has."""

    accounts: AccountService
    sign_in: SignInService
    keys: ApiKeyService
    authenticator: Authenticator

    async def enter(self, token: str, provider: str = "google") -> str:
        """The user whom an access token for a provider's token names."""
        return await self.who(await self.sign_in.sign_in_with(provider, token, ADDRESS))

    async def who(self, pair: TokenPair) -> str:
        return (await self.principal(pair.access)).user

    async def principal(self, secret: str) -> Principal:
        return await self.authenticator.authenticate(
            Credential(CredentialKind.BEARER, secret), with_local=False
        )


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url)
    yield opened
    await opened.dispose()


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    passwords = Passwords(threads=1, queue_length=8, memory_kib=64)
    tokens = Tokens(b"k" * 32, access_s=60, refresh_s=3600)
    attempts = Attempts(HitCounters(), AttemptLimits())
    accounts, keys = Accounts(database), ApiKeys(database)
    service = AccountService(accounts, passwords, tokens, attempts)
    providers: dict[str, IdTokens] = {"google": Said(), "microsoft": Said()}
    use = KeyUse(keys)
    yield House(
        service,
        SignInService(providers, Identities(database), service, attempts),
        ApiKeyService(keys),
        Authenticator(accounts, keys, tokens, use, database.new_cache()),
    )
    await use.close()
    await passwords.close()


async def test_a_stranger_gets_an_account_without_a_password(house: House) -> None:
    ann = await house.enter("ann")
    user = await house.accounts.profile(Principal(ann))
    assert (user.email, user.name, user.email_verified) == (EMAIL, "Ann", True)
    assert not user.is_admin
    assert await house.enter("ann") == ann
    with pytest.raises(Unauthenticated):
        await house.accounts.log_in(EMAIL, "", ADDRESS)


async def test_one_email_is_one_account_whoever_vouches_for_it(house: House) -> None:
    ann = await house.enter("ann")
    pair = await house.sign_in.sign_in_with("google", "ann", ADDRESS)
    assert await house.enter("ann at microsoft", "microsoft") == ann
    assert await house.who(pair) == ann


async def test_a_registered_account_is_taken_over_by_who_proves_its_email(house: House) -> None:
    registered = await house.accounts.register(EMAIL, PASSWORD, "Ann", ADDRESS)
    assert await house.enter("ann") == registered.id
    assert (await house.accounts.profile(Principal(registered.id))).email_verified


async def test_whoever_registered_the_email_before_has_nothing_left(house: House) -> None:
    await house.accounts.register(EMAIL, PASSWORD, "Eve", ADDRESS)
    eve = await house.accounts.log_in(EMAIL, PASSWORD, ADDRESS)
    principal = await house.principal(eve.access)
    _, key = await house.keys.create(principal, "k", {}, None)
    await house.principal(key)
    await house.enter("ann")
    with pytest.raises(Unauthenticated):
        await house.accounts.log_in(EMAIL, PASSWORD, ADDRESS)
    with pytest.raises(Unauthenticated):
        await house.accounts.refresh(eve.refresh, ADDRESS)
    for secret in (eve.access, key):
        with pytest.raises(Unauthenticated):
            await house.principal(secret)
    with pytest.raises(Unauthenticated):  # a request that was on its way
        await house.keys.create(principal, "k", {}, None)


async def test_a_login_that_was_on_its_way_is_worth_nothing(house: House) -> None:
    await house.accounts.register(EMAIL, PASSWORD, "Eve", ADDRESS)
    check = house.accounts.passwords.check

    async def overtaken(password: str, known: str | None) -> bool:
        right = await check(password, known)
        await house.enter("ann")
        return right

    with patch.object(house.accounts.passwords, "check", overtaken):
        eve = await house.accounts.log_in(EMAIL, PASSWORD, ADDRESS)
    refreshed = await house.accounts.refresh(eve.refresh, ADDRESS)
    for pair in (eve, refreshed):
        with pytest.raises(Unauthenticated):
            await house.who(pair)


async def test_who_had_proven_their_email_keeps_what_they_have(house: House) -> None:
    pair = await house.sign_in.sign_in_with("google", "ann", ADDRESS)
    _, key = await house.keys.create(await house.principal(pair.access), "k", {}, None)
    await house.enter("ann at microsoft", "microsoft")
    await house.principal(key)
    await house.accounts.refresh(pair.refresh, ADDRESS)


@pytest.mark.parametrize("token", ["unverified", "sharp s", "no email"])
async def test_nobody_is_made_of_an_email_that_cannot_be_believed(house: House, token: str) -> None:
    with pytest.raises(PermissionDenied, match="vouch"):
        await house.enter(token)


async def test_a_known_identity_needs_no_email_any_more(house: House) -> None:
    ann = await house.enter("ann")
    with patch.dict(PEOPLE, ann=replace(ANN, email=None)):
        assert await house.enter("ann") == ann


async def test_a_name_is_made_to_fit(house: House) -> None:
    user = await house.accounts.profile(Principal(await house.enter("long name")))
    assert user.name == "x" * 255


async def test_who_is_not_active_is_not_let_in(house: House, database: Database) -> None:
    await house.enter("ann")
    await database.write(lambda session: session.execute(update(UserRow).values(is_active=False)))
    for token, provider in (("ann", "google"), ("ann at microsoft", "microsoft")):
        with pytest.raises(Unauthenticated, match="not active"):
            await house.sign_in.sign_in_with(provider, token, ADDRESS)


async def test_a_provider_that_is_not_configured_is_named(house: House) -> None:
    with pytest.raises(InvalidRequest, match="Sign-in with Github is not configured"):
        await house.enter("ann", "github")


async def test_of_first_sign_ins_at_once_all_get_one_account(
    house: House, database: Database, database_url: str
) -> None:
    other = await Database.open(database_url)
    racing = [
        replace(house.sign_in, identities=Identities((database, other)[n % 2])).sign_in_with(
            *(("google", "ann"), ("microsoft", "ann at microsoft"))[n % 2], ADDRESS
        )
        for n in range(8)
    ]
    pairs = await asyncio.gather(*racing)
    assert len({await house.who(pair) for pair in pairs}) == 1
    for table, count in ((UserRow, 1), (IdentityRow, 2)):
        counted = select(func.count()).select_from(table)
        assert await other.read(lambda session, counted=counted: session.scalar(counted)) == count  # type: ignore[misc]
    await other.dispose()


async def test_sign_ins_are_counted_before_their_tokens_are_looked_at(house: House) -> None:
    attempts = Attempts(HitCounters(), AttemptLimits(per_minute=1))
    service = replace(house.sign_in, attempts=attempts)
    with pytest.raises(PermissionDenied):
        await service.sign_in_with("google", "unverified", ADDRESS)
    with pytest.raises(RateLimited):
        await service.sign_in_with("google", "ann", ADDRESS)
    await service.sign_in_with("google", "ann", "192.0.2.2")
