"""API keys in the catalog: whose they are, that they change and end, and when they were used."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from storage.catalog import Accounts, ApiKeys, Database
from tests.unit.storage.catalog.test_accounts import DAY, NOW, accounts, ann, databases, user
from vectoray.core.accounts import ALL_SCOPES, ApiKey, Scope, User

__all__ = ["accounts", "ann", "databases"]

HASH = bytes(range(32))


def key(of: User, *, name: str = "laptop", age_s: int = 0) -> ApiKey:
    return ApiKey(
        id=str(uuid4()),
        user=of.id,
        name=name,
        permissions={"scopes": ["read"], "collections": ["c"]},
        scopes=frozenset((Scope.READ,)),
        collections=frozenset(("c",)),
        rate_limit=60,
        created_at=NOW - timedelta(seconds=age_s),
        expires_at=NOW + DAY,
        last_used_at=None,
    )


@pytest.fixture
def keys(databases: tuple[Database, Database]) -> ApiKeys:
    return ApiKeys(databases[0])


async def test_a_key_is_found_with_its_hash_and_its_user(keys: ApiKeys, ann: User) -> None:
    laptop = key(ann)
    await keys.add(laptop, HASH)
    found = await keys.find(laptop.id)
    assert found is not None
    assert (found.key, found.secret_hash, found.user) == (laptop, HASH, ann)
    assert "secret_hash" not in repr(found)
    assert await keys.find(str(uuid4())) is None


async def test_a_user_has_their_own_keys_oldest_first(
    keys: ApiKeys, accounts: tuple[Accounts, Accounts], ann: User
) -> None:
    bob = user("bob@example.com")
    await accounts[0].add_user(bob, None)
    new, old, bobs = key(ann), key(ann, age_s=9), key(bob)
    for one in (new, old, bobs):
        await keys.add(one, HASH)
    assert await keys.of_user(ann.id) == [old, new]
    assert await keys.change(ann.id, bobs.id, lambda key: replace(key, name="mine")) is None
    assert not await keys.revoke(ann.id, bobs.id, NOW)
    assert await keys.of_user(bob.id) == [bobs]


async def test_what_a_key_allows_may_change(keys: ApiKeys, ann: User) -> None:
    laptop = key(ann)
    await keys.add(laptop, HASH)
    wanted = replace(laptop, name="desk", permissions={}, scopes=ALL_SCOPES, collections=None)
    assert await keys.change(ann.id, laptop.id, lambda _: wanted) == wanted
    assert await keys.of_user(ann.id) == [wanted]


async def test_a_revoked_key_is_gone(keys: ApiKeys, ann: User) -> None:
    laptop = key(ann)
    await keys.add(laptop, HASH)
    assert await keys.revoke(ann.id, laptop.id, NOW)
    assert await keys.find(laptop.id) is None
    assert await keys.of_user(ann.id) == []
    assert await keys.change(ann.id, laptop.id, lambda key: key) is None
    assert not await keys.revoke(ann.id, laptop.id, NOW)


async def test_the_latest_use_is_kept(keys: ApiKeys, ann: User) -> None:
    laptop = key(ann)
    await keys.add(laptop, HASH)
    for used_at in (NOW, NOW - DAY, NOW + DAY, NOW):
        await keys.note_use({laptop.id: used_at, str(uuid4()): used_at})
    [found] = await keys.of_user(ann.id)
    assert found.last_used_at == NOW + DAY
