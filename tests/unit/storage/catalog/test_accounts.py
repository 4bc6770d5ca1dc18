"""Users and refresh tokens in the catalog: one email, one account; one token, one use."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from storage.catalog import Accounts, Database, RefreshToken
from storage.catalog.account_tables import RefreshTokenRow
from vectoray.core.accounts import User
from vectoray.core.errors import Conflict

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DAY = timedelta(days=1)


def user(email: str = "ann@example.com") -> User:
    return User(id=str(uuid4()), email=email, name="Ann", is_admin=False, is_active=True, created_at=NOW)


def token(of: User, *, expires_at: datetime = NOW + DAY) -> RefreshToken:
    return RefreshToken(str(uuid4()), of.id, expires_at)


@pytest.fixture
async def databases(database_url: str) -> AsyncIterator[tuple[Database, Database]]:
    """Two over one file, as two gateways have them."""
    opened = await Database.open(database_url), await Database.open(database_url)
    yield opened
    for one in opened:
        await one.dispose()


@pytest.fixture
def accounts(databases: tuple[Database, Database]) -> tuple[Accounts, Accounts]:
    return Accounts(databases[0]), Accounts(databases[1])


@pytest.fixture
async def ann(accounts: tuple[Accounts, Accounts]) -> User:
    ann = user()
    await accounts[0].add_user(ann, "hash")
    return ann


async def test_a_user_is_found_by_id_and_email(accounts: tuple[Accounts, Accounts], ann: User) -> None:
    assert await accounts[1].user(ann.id) == ann
    assert await accounts[1].by_email(ann.email) == (ann, "hash")
    assert await accounts[1].by_email("bob@example.com") is None
    assert await accounts[1].user("no") is None


async def test_a_hash_is_replaced_only_while_it_is_the_one_that_was_read(
    accounts: tuple[Accounts, Accounts], ann: User
) -> None:
    await accounts[0].replace_hash(ann.id, "hash", "renewed")
    await accounts[1].replace_hash(ann.id, "hash", "late")
    assert await accounts[0].by_email(ann.email) == (ann, "renewed")


async def test_what_the_database_refuses_shows_no_values(accounts: tuple[Accounts, Accounts]) -> None:
    nobodys = token(user())
    with pytest.raises(IntegrityError) as refusal:
        await accounts[0].begin_family(nobodys, NOW)
    assert nobodys.id not in str(refusal.value)


async def test_of_registrations_with_one_email_one_wins(accounts: tuple[Accounts, Accounts]) -> None:
    racing = [accounts[n % 2].add_user(user(), str(n)) for n in range(8)]
    outcomes = await asyncio.gather(*racing, return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7


async def test_a_token_is_used_once_and_its_successor_then(
    accounts: tuple[Accounts, Accounts], ann: User
) -> None:
    first, second, third = token(ann), token(ann), token(ann)
    await accounts[0].begin_family(first, NOW)
    assert await accounts[1].rotate(first.id, second, NOW)
    assert await accounts[0].rotate(second.id, third, NOW)


async def test_a_token_that_is_used_twice_revokes_its_family_alone(
    accounts: tuple[Accounts, Accounts], ann: User
) -> None:
    first, second, other = token(ann), token(ann), token(ann)
    await accounts[0].begin_family(first, NOW)
    await accounts[0].begin_family(other, NOW)
    assert await accounts[0].rotate(first.id, second, NOW)
    assert not await accounts[1].rotate(first.id, token(ann), NOW)
    assert not await accounts[0].rotate(second.id, token(ann), NOW)
    assert await accounts[0].rotate(other.id, token(ann), NOW)


async def test_of_uses_of_one_token_at_once_one_wins_and_the_family_is_revoked(
    accounts: tuple[Accounts, Accounts], ann: User
) -> None:
    first = token(ann)
    await accounts[0].begin_family(first, NOW)
    successors = [token(ann) for _ in range(8)]
    outcomes = await asyncio.gather(
        *(accounts[n % 2].rotate(first.id, successor, NOW) for n, successor in enumerate(successors))
    )
    assert sum(outcomes) == 1
    winner = successors[outcomes.index(True)]
    assert not await accounts[0].rotate(winner.id, token(ann), NOW)


async def test_only_a_valid_token_of_an_active_user_is_rotated(
    accounts: tuple[Accounts, Accounts], ann: User
) -> None:
    bob, gone = user("bob@example.com"), replace(user("carl@example.com"), is_active=False)
    for one in (bob, gone):
        await accounts[0].add_user(one, None)
    expired, foreign, inactive = token(ann, expires_at=NOW), token(bob), token(gone)
    for one_token in (expired, foreign, inactive):
        await accounts[0].begin_family(one_token, NOW - DAY)
    assert not await accounts[0].rotate(expired.id, token(ann), NOW)
    assert not await accounts[0].rotate(foreign.id, token(ann), NOW)
    assert not await accounts[0].rotate(inactive.id, token(gone), NOW)
    assert not await accounts[0].rotate(str(uuid4()), token(ann), NOW)
    assert await accounts[0].rotate(foreign.id, token(bob), NOW)


async def test_expired_tokens_are_forgotten(
    databases: tuple[Database, Database], accounts: tuple[Accounts, Accounts], ann: User
) -> None:
    first = token(ann, expires_at=NOW + 2 * DAY)
    await accounts[0].begin_family(token(ann, expires_at=NOW), NOW - DAY)
    await accounts[0].begin_family(first, NOW - DAY)
    assert await accounts[0].rotate(first.id, token(ann), NOW)
    count = select(func.count()).select_from(RefreshTokenRow)
    assert await databases[0].read(lambda session: session.scalar(count)) == 2
    await accounts[0].begin_family(token(ann, expires_at=NOW + 4 * DAY), NOW + 3 * DAY)
    assert await databases[0].read(lambda session: session.scalar(count)) == 1
