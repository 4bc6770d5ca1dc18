"""Which collections a caller may see, and finding one of them."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from uuid import UUID

from serve.auth import Principal
from storage.catalog import Catalog
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
    return (caller.user,)


async def find_collection(catalog: Catalog, caller: Principal, address: Address) -> Collection:
    """The collection at ``address``.

    Raises:
        InvalidName: No collection can have such a name.
        CollectionNotFound: There is none, or it is not the caller's to see; which, is not told.
    """
    owners = visible_owners(caller)
    if isinstance(address, ByName):
        told = address.name
        found = await catalog.by_name(owners, check_name(told))
    else:
        told = address.id[:36]
        found = await catalog.by_id(_canonical(address.id))
    if found is None or found.owner not in owners:
        raise CollectionNotFound.of(told)
    return found


@lru_cache(maxsize=1024)
def _canonical(told: str) -> str:
    try:
        return str(UUID(told))
    except ValueError:
        return ""
