"""What an API key is to allow: from the JSON object by which it is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from vectoray.core.accounts import ALL_SCOPES, Scope
from vectoray.core.errors import InvalidRequest

_MOST_COLLECTIONS = 1000
_MAX_UUID_CHARACTERS = len("urn:uuid:{00000000-0000-0000-0000-000000000000}")
_INCLUDED = {
    Scope.READ: frozenset((Scope.READ,)),
    Scope.WRITE: frozenset((Scope.READ, Scope.WRITE)),
    Scope.ADMIN: ALL_SCOPES,
}


@dataclass(frozen=True, slots=True)
class KeyRights:
    """What a key allows.

    Attributes:
        scopes: With all that they include.
        collections: Ids of the only collections it reaches; None for all of its user's.
    """

    scopes: frozenset[Scope] = ALL_SCOPES
    collections: frozenset[str] | None = None

    @classmethod
    def of(cls, permissions: Mapping[str, Any]) -> "KeyRights":
        """What ``permissions`` ask for.

        Args:
            permissions: ``{}`` for all that the user may do; ``scopes``, a list of names, and
                ``collections``, a list of UUIDs, limit it.

        Raises:
            InvalidRequest: They say anything else.
        """
        unknown = sorted(permissions.keys() - {"scopes", "collections"})
        if unknown:
            raise _refusal(f"has no key '{unknown[0][:64]}'; it may have 'scopes' and 'collections'")
        scopes = _strings(permissions, "scopes")
        collections = _strings(permissions, "collections")
        return cls(
            scopes=ALL_SCOPES if scopes is None else frozenset().union(*map(_included, scopes)),
            collections=None if collections is None else frozenset(map(_uuid, collections)),
        )


def _strings(permissions: Mapping[str, Any], key: str) -> list[str] | None:
    """The list at ``key``; None if there is none. An empty one would make a key for nothing."""
    if key not in permissions:
        return None
    values = permissions[key]
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise _refusal(f".{key} must be a list of one or more strings; leave it out for no limit")
    if len(values) > _MOST_COLLECTIONS:
        raise _refusal(f".{key} has more than {_MOST_COLLECTIONS} items")
    return values


def _included(name: str) -> frozenset[Scope]:
    try:
        return _INCLUDED[Scope(name)]
    except ValueError:
        known = ", ".join(f"'{scope}'" for scope in Scope)
        raise _refusal(f".scopes has an item that is none of {known}") from None


def _uuid(text: str) -> str:
    try:
        # What is asked for is kept as it was written, and `UUID` takes any number of braces and hyphens.
        return str(UUID(text if len(text) <= _MAX_UUID_CHARACTERS else ""))
    except ValueError:
        raise _refusal(".collections has an item that is no UUID of a collection") from None


def _refusal(problem: str) -> InvalidRequest:
    separator = "" if problem.startswith(".") else " "
    return InvalidRequest(f"permissions{separator}{problem}.", {"at": "permissions"})
