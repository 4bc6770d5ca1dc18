"""Logging in: who is let in, and that whoever is not costs the same work."""

from collections.abc import AsyncIterator
from dataclasses import replace
from unittest.mock import patch

import pytest
from sqlalchemy import update

from serve.credentials.passwords import Passwords
from serve.credentials.tokens import Tokens
from serve.hit_counters import HitCounters
from serve.service.accounts import AccountService
from serve.service.attempts import AttemptLimits, Attempts
from storage.catalog import Accounts, Database
from storage.catalog.account_tables import UserRow
from vectoray.core.errors import Unauthenticated

EMAIL, PASSWORD, ADDRESS = "ann@example.com", "correct horse", "192.0.2.1"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url)
    yield opened
    await opened.dispose()


@pytest.fixture
async def service(database: Database) -> AsyncIterator[AccountService]:
    passwords = Passwords(threads=1, queue_length=1, memory_kib=64)
    attempts = Attempts(HitCounters(), AttemptLimits())
    tokens = Tokens(b"k" * 32, access_s=60, refresh_s=60)
    made = AccountService(Accounts(database), passwords, tokens, attempts)
    await made.register(EMAIL, PASSWORD, "Ann", ADDRESS)
    yield made
    await passwords.close()


async def refused(service: AccountService, email: str, password: str) -> tuple[str, int]:
    """What is said, and how many hashes were made for it."""
    hasher = service.passwords._hasher
    with (
        patch.object(hasher, "verify", wraps=hasher.verify) as verify,
        pytest.raises(Unauthenticated) as refusal,
    ):
        await service.log_in(email, password, ADDRESS)
    return refusal.value.message, verify.call_count


async def test_whoever_is_not_let_in_gets_one_answer_after_one_hash(
    service: AccountService, database: Database
) -> None:
    seen = [
        await refused(service, EMAIL, "wrong"),
        await refused(service, "bob@example.com", PASSWORD),
        await refused(service, "", ""),
    ]
    await database.write(lambda session: session.execute(update(UserRow).values(is_active=False)))
    seen.append(await refused(service, EMAIL, PASSWORD))
    await database.write(
        lambda session: session.execute(update(UserRow).values(is_active=True, password_hash=None))
    )
    seen.append(await refused(service, EMAIL, PASSWORD))
    assert seen == [("The email or the password is wrong.", 1)] * 5


async def test_tokens_are_not_shown(service: AccountService) -> None:
    pair = await service.log_in(EMAIL, PASSWORD, ADDRESS)
    assert pair.access not in repr(pair)
    assert pair.refresh not in repr(pair)


async def kept_hash(service: AccountService) -> str:
    found = await service.accounts.by_email(EMAIL)
    assert found is not None
    assert found[1] is not None
    return found[1]


async def test_a_login_renews_a_hash_that_was_made_with_other_settings(service: AccountService) -> None:
    before = await kept_hash(service)
    await service.log_in(EMAIL, PASSWORD, ADDRESS)
    assert await kept_hash(service) == before
    stronger = Passwords(threads=1, queue_length=1, memory_kib=128)
    later = replace(service, passwords=stronger)
    await refused(later, EMAIL, "wrong")
    assert await kept_hash(service) == before
    await later.log_in(EMAIL, PASSWORD, ADDRESS)
    renewed = await kept_hash(service)
    assert "$m=128," in renewed
    await later.log_in(EMAIL, PASSWORD, ADDRESS)
    assert await kept_hash(service) == renewed
    await stronger.close()
