"""Makes, shows, changes and revokes a user's API keys."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final
from uuid import UUID, uuid4

from serve.auth import Principal
from serve.credentials.key_secret import KeySecret
from serve.service.key_rights import KeyRights
from serve.service.rights import require, require_all_collections
from storage.catalog import ApiKeys
from vectoray.core.accounts import ApiKey, Scope
from vectoray.core.errors import ApiKeyNotFound, InvalidRequest, PermissionDenied, Unauthenticated

_MAX_NAME = 255


class Unchanged(Enum):
    """Stands for a value that stays as it is, where None is a value."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What to change of a key. None keeps a name and permissions.

    Attributes:
        rate_limit: Requests per minute; None for no limit of its own.
    """

    name: str | None = None
    permissions: Mapping[str, Any] | None = None
    rate_limit: int | Unchanged | None = UNCHANGED


@dataclass(frozen=True, slots=True)
class ApiKeyService:
    """Keys of the caller. Any method may raise `PermissionDenied`: a limited key manages no keys."""

    keys: ApiKeys

    async def list(self, caller: Principal) -> list[ApiKey]:
        """The caller's keys, oldest first; revoked ones are gone."""
        _require_management(caller)
        return await self.keys.of_user(caller.user)

    async def create(
        self,
        caller: Principal,
        name: str,
        permissions: Mapping[str, Any],
        expires_at: datetime | None,
        *,
        rate_limit: int | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key.

        Returns:
            The key, and its text, which nobody can find out later.

        Raises:
            PermissionDenied: The caller's key has not all rights, or ends before the new one would.
            InvalidRequest: The name or the permissions cannot be such, or the time is past.
            Unauthenticated: The account has just gone to somebody else.
        """
        _require_management(caller)
        _require_end(expires_at, by=await self._end_of(caller))
        now = datetime.now(UTC)
        if expires_at is not None and expires_at <= now:
            raise InvalidRequest("expires_at is in the past.", {"at": "expires_at"})
        rights = KeyRights.of(permissions)
        secret = KeySecret.make(str(uuid4()))
        key = ApiKey(
            id=secret.key_id,
            user=caller.user,
            name=_checked(name),
            permissions=permissions,
            scopes=rights.scopes,
            collections=rights.collections,
            rate_limit=rate_limit,
            created_at=now,
            expires_at=expires_at,
            last_used_at=None,
        )
        if not await self.keys.add(key, secret.digest, epoch=caller.epoch):
            raise Unauthenticated("The credential is not valid any more; log in again.")
        return key, secret.text

    async def change(self, caller: Principal, key_id: str, change: KeyChange) -> ApiKey:
        """Change what is given, and keep the rest.

        Raises:
            ApiKeyNotFound: There is none, or it is somebody else's.
            InvalidRequest: The name or the permissions cannot be such.
            PermissionDenied: The caller's key has not all rights, or gives some to one that ends later.
        """
        _require_management(caller)
        by = await self._end_of(caller)
        changes: dict[str, Any] = {}
        if change.name is not None:
            changes["name"] = _checked(change.name)
        if change.rate_limit is not UNCHANGED:
            changes["rate_limit"] = change.rate_limit
        if change.permissions is not None:
            rights = KeyRights.of(change.permissions)
            changes |= {
                "permissions": change.permissions,
                "scopes": rights.scopes,
                "collections": rights.collections,
            }

        def changed_key(key: ApiKey) -> ApiKey:
            if changes.keys() - {"name"}:
                _require_end(key.expires_at, by=by)
            return replace(key, **changes)

        changed = await self.keys.change(caller.user, _canonical(key_id), changed_key)
        if changed is None:
            raise ApiKeyNotFound.of(key_id)
        return changed

    async def revoke(self, caller: Principal, key_id: str) -> None:
        """Make a key worthless, for ever and at once.

        Raises:
            ApiKeyNotFound: There is none, or it is somebody else's.
        """
        _require_management(caller)
        if not await self.keys.revoke(caller.user, _canonical(key_id), datetime.now(UTC)):
            raise ApiKeyNotFound.of(key_id)

    async def _end_of(self, caller: Principal) -> datetime | None:
        """When the caller's credential ends that makes and changes keys; None for never, and for tokens."""
        if caller.key_id is None:
            return None
        own = await self.keys.find(caller.key_id)
        return own.key.expires_at if own is not None else datetime.now(UTC)


def _require_end(until: datetime | None, *, by: datetime | None) -> None:
    """A key that ends could otherwise make itself one that does not.

    Raises:
        PermissionDenied: ``until`` is later than ``by``, where None is never.
    """
    if by is not None and (until is None or until > by):
        raise PermissionDenied(
            f"This API key ends at {by:%Y-%m-%dT%H:%M:%SZ} and gives rights to none that ends later; use "
            "another credential, or for a new key an earlier 'expires_at'."
        )


def _require_management(caller: Principal) -> None:
    """A key that is limited could otherwise make itself one that is not."""
    require(caller, Scope.ADMIN)
    require_all_collections(caller)
    if caller.rate_limit is not None:
        raise PermissionDenied("This API key has a rate limit of its own; use one that has none.")


def _checked(name: str) -> str:
    if not name.strip() or len(name) > _MAX_NAME or "\0" in name:
        raise InvalidRequest(f"The name must have 1 to {_MAX_NAME} characters, and no NUL.", {"at": "name"})
    return name


def _canonical(told: str) -> str:
    try:
        return str(UUID(told))
    except ValueError:
        raise ApiKeyNotFound.of(told) from None
