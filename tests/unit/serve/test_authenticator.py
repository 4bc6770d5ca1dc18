"""Checking credentials: who they are, and that what is remembered is never wrong."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import AsyncMock, patch
from uuid import uuid4

import pytest
from sqlalchemy import update

from serve.auth import Credential, CredentialKind, Principal
from serve.authenticator import Authenticator
from serve.credentials.key_secret import KeySecret
from serve.credentials.tokens import TokenKind, Tokens
from serve.key_use import KeyUse
from storage.catalog import Accounts, ApiKeys, Database
from storage.catalog.account_tables import UserRow
from vectoray.core.accounts import ALL_SCOPES, ApiKey, Scope, User
from vectoray.core.errors import Unauthenticated

TOKENS = Tokens(b"k" * 32, access_s=900, refresh_s=86_400)
NOW = datetime.now(UTC)
ANN = User(
    id=str(uuid4()), email="ann@example.com", name="Ann", is_admin=True, is_active=True, created_at=NOW
)


def bearer(secret: str) -> Credential:
    return Credential(CredentialKind.BEARER, secret)


def header(secret: str) -> Credential:
    return Credential(CredentialKind.API_KEY, secret)


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite, which alone tells of every commit at once."""
    return f"sqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture
async def databases(database_url: str) -> AsyncIterator[tuple[Database, Database]]:
    """Two over one file, as two gateways have them."""
    opened = await Database.open(database_url), await Database.open(database_url)
    await Accounts(opened[0]).add_user(ANN, None)
    yield opened
    for one in opened:
        await one.dispose()


class Gateway:
    """An authenticator and what it is made of."""

    def __init__(self, database: Database) -> None:
        self.accounts, self.keys = Accounts(database), ApiKeys(database)
        self.use = KeyUse(self.keys)
        self.authenticator = Authenticator(self.accounts, self.keys, TOKENS, self.use, database.new_cache())

    async def who(self, credential: Credential, *, with_local: bool = False) -> Principal:
        return await self.authenticator.authenticate(credential, with_local=with_local)

    async def make_key(self, **changes: object) -> tuple[ApiKey, str]:
        secret = KeySecret.make(str(uuid4()))
        key = ApiKey(
            id=secret.key_id,
            user=ANN.id,
            name="k",
            permissions={},
            scopes=ALL_SCOPES,
            collections=None,
            rate_limit=None,
            created_at=NOW,
            expires_at=None,
            last_used_at=None,
        )
        key = replace(key, **changes)  # type: ignore[arg-type]
        await self.keys.add(key, secret.digest)
        return key, secret.text


@pytest.fixture
async def gateway(databases: tuple[Database, Database]) -> AsyncIterator[Gateway]:
    made = Gateway(databases[0])
    yield made
    await made.use.close()


@pytest.fixture
def no_use() -> Iterator[None]:
    """Uses are not written, which would make what is remembered forgotten."""
    with patch.object(KeyUse, "note"):
        yield


async def test_an_access_token_is_its_user(gateway: Gateway) -> None:
    token, _ = TOKENS.make(TokenKind.ACCESS, ANN.id)
    assert await gateway.who(bearer(token)) == Principal(ANN.id, is_admin=True)
    assert await gateway.who(bearer(token), with_local=True) == Principal(
        ANN.id, is_admin=True, with_local=True
    )


async def test_an_api_key_is_its_user_within_its_limits(gateway: Gateway) -> None:
    scopes, collections = frozenset((Scope.READ,)), frozenset(("c",))
    key, text = await gateway.make_key(scopes=scopes, collections=collections)
    expected = Principal(ANN.id, is_admin=False, scopes=scopes, collections=collections, key_id=key.id)
    assert await gateway.who(header(text)) == expected
    assert await gateway.who(bearer(text)) == expected


async def test_an_admin_is_one_by_a_key_only_if_it_says_so(gateway: Gateway) -> None:
    _, text = await gateway.make_key()
    assert (await gateway.who(header(text))).is_admin


async def test_a_wrong_credential_is_refused(gateway: Gateway) -> None:
    key, text = await gateway.make_key()
    _, expired = await gateway.make_key(expires_at=NOW)
    access, _ = TOKENS.make(TokenKind.ACCESS, ANN.id)
    refresh, _ = TOKENS.make(TokenKind.REFRESH, ANN.id)
    nobodys, _ = TOKENS.make(TokenKind.ACCESS, str(uuid4()))
    other_secret, other_id = KeySecret.make(key.id).text, KeySecret(str(uuid4()), text[-43:]).text
    for credential in (
        *map(header, ("", access, expired, other_secret, other_id)),
        *map(bearer, ("", "x", "vy_", "ÿ", refresh, nobodys, expired, other_secret, other_id)),
    ):
        with pytest.raises(Unauthenticated):
            await gateway.who(credential)


async def test_a_wrong_secret_is_refused_while_the_right_one_is_remembered(gateway: Gateway) -> None:
    key, text = await gateway.make_key()
    await gateway.who(header(text))
    with pytest.raises(Unauthenticated):
        await gateway.who(header(KeySecret.make(key.id).text))


@pytest.mark.usefixtures("no_use")
async def test_a_second_check_asks_no_database(gateway: Gateway) -> None:
    token, _ = TOKENS.make(TokenKind.ACCESS, ANN.id)
    _, text = await gateway.make_key()
    seen = [await gateway.who(bearer(token)), await gateway.who(header(text))]
    refusal = AsyncMock(side_effect=AssertionError("asked"))
    with patch.object(gateway.accounts, "user", refusal), patch.object(gateway.keys, "find", refusal):
        assert [await gateway.who(bearer(token)), await gateway.who(header(text))] == seen
        with patch("time.time", return_value=time.time() + 6), pytest.raises(AssertionError, match="asked"):
            await gateway.who(header(text))


@pytest.mark.usefixtures("no_use")
async def test_expiry_counts_for_what_is_remembered(gateway: Gateway) -> None:
    _, text = await gateway.make_key(expires_at=datetime.now(UTC) + timedelta(seconds=2))
    await gateway.who(header(text))
    with patch("time.time", return_value=time.time() + 3), pytest.raises(Unauthenticated):
        await gateway.who(header(text))


@pytest.mark.usefixtures("no_use")
async def test_what_another_gateway_revokes_is_refused_at_once(
    databases: tuple[Database, Database], gateway: Gateway
) -> None:
    key, text = await gateway.make_key()
    await gateway.who(header(text))
    assert await Gateway(databases[1]).keys.revoke(ANN.id, key.id, NOW)
    with pytest.raises(Unauthenticated):
        await gateway.who(header(text))


async def test_who_is_no_longer_active_is_refused_at_once(
    databases: tuple[Database, Database], gateway: Gateway
) -> None:
    token, _ = TOKENS.make(TokenKind.ACCESS, ANN.id)
    _, text = await gateway.make_key()
    credentials = (bearer(token), header(text))
    for credential in credentials:
        await gateway.who(credential)
    await databases[1].write(lambda session: session.execute(update(UserRow).values(is_active=False)))
    for credential in credentials:
        with pytest.raises(Unauthenticated):
            await gateway.who(credential)


async def test_no_secret_is_kept_in_memory(gateway: Gateway) -> None:
    _, text = await gateway.make_key()
    await gateway.who(header(text))
    assert gateway.authenticator._cache._found
    assert text not in repr(gateway.authenticator._cache._found)
