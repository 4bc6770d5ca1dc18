"""Which collections a caller may see, and finding one of them."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from uuid import UUID

from serve.auth import LOCAL_USER, Principal
from serve.service.rights import require
from storage.catalog import ANYONE, NOBODY, Catalog
from vectoray.core.accounts import Scope
from vectoray.core.errors import CollectionNotFound
from vectoray.core.model import Collection
from vectoray.core.vectors import check_name


@dataclass(frozen=True, slots=True)
class ByName:
    """The caller's collection of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class ById:
    """The collection with this UUID, in any of its text forms."""

    id: str


Address: TypeAlias = ByName | ById


def visible_owners(caller: Principal) -> tuple[str, ...]:
    """Whose collections the caller may see, those to look among first coming first."""
    if caller.user == LOCAL_USER:
        return (LOCAL_USER,)
    own = (caller.user, LOCAL_USER) if caller.with_local else (caller.user,)
    return (*own, ANYONE) if caller.is_admin else own


async def find_collection(catalog: Catalog, caller: Principal, address: Address, scope: Scope) -> Collection:
    """The collection at ``address``.

    Args:
        catalog: Where to look.
        caller: Who wants it.
        address: How they call it.
        scope: What they want it for.

    Raises:
        PermissionDenied: The caller's credential does not allow that with any collection.
        InvalidName: No collection can have such a name.
        CollectionNotFound: There is none, or it is not the caller's to see; which, is not told.
    """
    require(caller, scope)
    owners = visible_owners(caller)
    if isinstance(address, ByName):
        told = address.name
        found = await catalog.by_name(owners, check_name(told), among=caller.collections)
    else:
        told = address.id[:36]
        found = await catalog.by_id(_canonical(address.id))
    if found is None or not may_see(caller, owner=found.owner, collection_id=found.id):
        raise CollectionNotFound.of(told)
    return found


def may_see(caller: Principal, *, owner: str, collection_id: str) -> bool:
    """Whether a collection, which need not be there any more, is the caller's to see.

    Args:
        caller: Who would see it.
        owner: Whose it is, or was; `NOBODY` for what no one sees as a collection.
        collection_id: Its UUID.
    """
    owners, among = visible_owners(caller), caller.collections
    seen = owner in owners or (ANYONE in owners and owner != NOBODY)
    return seen and (among is None or collection_id in among)


@lru_cache(maxsize=1024)
def _canonical(told: str) -> str:
    try:
        return str(UUID(told))
    except ValueError:
        return ""
