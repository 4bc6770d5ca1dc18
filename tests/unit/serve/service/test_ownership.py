"""Whose collections a caller sees and changes, by name and by id."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from serve.auth import ANONYMOUS, Principal
from serve.service.ownership import Address, ById, ByName, find_collection, visible_owners
from storage.catalog import ANYONE, Catalog
from tests.unit.storage.catalog.test_catalog import collection, made
from vectoray.core.accounts import Scope
from vectoray.core.errors import CollectionNotFound, PermissionDenied
from vectoray.core.model import Collection

ANN = Principal("ann", with_local=True)
ADMIN = Principal("admin", is_admin=True, with_local=True)


@pytest.fixture
async def catalog(database_url: str) -> AsyncIterator[Catalog]:
    opened = await Catalog.open(database_url)
    yield opened
    await opened.dispose()


async def sees(catalog: Catalog, caller: Principal, wanted: Collection) -> bool:
    """Whether the caller finds a collection by its id and in a list, which must agree."""
    listed, total = await catalog.page(visible_owners(caller), among=caller.collections)
    assert len(listed) == total
    try:
        assert await find_collection(catalog, caller, ById(wanted.id), Scope.READ) == wanted
    except CollectionNotFound:
        assert wanted not in listed
        return False
    assert wanted in listed
    return True


@pytest.mark.parametrize(
    ("caller", "owners"),
    [
        (ANONYMOUS, ("local",)),
        (Principal("ann"), ("ann",)),
        (ANN, ("ann", "local")),
        (ADMIN, ("admin", "local", ANYONE)),
        (replace(ADMIN, with_local=False), ("admin", ANYONE)),
    ],
)
def test_ones_own_come_first_then_locals_then_for_an_admin_everybodys(
    caller: Principal, owners: tuple[str, ...]
) -> None:
    assert visible_owners(caller) == owners


async def test_everybody_sees_what_is_theirs_to_see(catalog: Catalog) -> None:
    anns, locals_, bobs = [await made(catalog, collection(owner=who)) for who in ("ann", "local", "bob")]
    for caller, seen in (
        (ANONYMOUS, [locals_]),
        (Principal("ann"), [anns]),
        (ANN, [anns, locals_]),
        (ADMIN, [anns, locals_, bobs]),
        (replace(ADMIN, collections=frozenset((bobs.id,))), [bobs]),
        (replace(ANN, collections=frozenset((bobs.id, locals_.id))), [locals_]),
    ):
        for one in (anns, locals_, bobs):
            assert await sees(catalog, caller, one) == (one in seen), (caller, one.owner)


async def test_a_name_is_looked_up_among_what_the_caller_sees(catalog: Catalog) -> None:
    ages = {"bob": 9, "local": 5, "ann": 1}
    owned = {who: await made(catalog, collection(owner=who, age_s=age)) for who, age in ages.items()}
    limited = replace(ANN, collections=frozenset((owned["local"].id,)))
    for caller, owner in ((ANN, "ann"), (ANONYMOUS, "local"), (ADMIN, "local"), (limited, "local")):
        assert await find_collection(catalog, caller, ByName("docs"), Scope.READ) == owned[owner]
    far = replace(ADMIN, with_local=False)
    assert await find_collection(catalog, far, ByName("docs"), Scope.READ) == owned["bob"]


@pytest.mark.parametrize("there", [True, False])
async def test_a_key_for_reading_changes_nothing(catalog: Catalog, *, there: bool) -> None:
    reader = replace(ANN, scopes=frozenset((Scope.READ,)))
    docs = await made(catalog, collection(owner="ann"))
    addresses: list[Address] = [ByName("docs"), ById(docs.id)] if there else [ByName("none"), ById("none")]
    for address in addresses:
        with pytest.raises(PermissionDenied, match="'write'"):
            await find_collection(catalog, reader, address, Scope.WRITE)
    assert await find_collection(catalog, reader, ByName("docs"), Scope.READ) == docs
