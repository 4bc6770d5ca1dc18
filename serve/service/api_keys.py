"""Makes, shows, changes and revokes a user's API keys."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from serve.auth import Principal
from serve.credentials.key_secret import KeySecret
from serve.service.key_rights import KeyRights
from serve.service.rights import require, require_all_collections
from storage.catalog import ApiKeys
from vectoray.core.accounts import ApiKey, Scope
from vectoray.core.errors import ApiKeyNotFound, InvalidRequest

_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class ApiKeyService:
    """Keys of the caller. Any method may raise `PermissionDenied`: a limited key manages no keys."""

    keys: ApiKeys

    async def list(self, caller: Principal) -> list[ApiKey]:
        """The caller's keys, oldest first; revoked ones are gone."""
        _require_management(caller)
        return await self.keys.of_user(caller.user)

    async def create(
        self, caller: Principal, name: str, permissions: Mapping[str, Any], expires_at: datetime | None
    ) -> tuple[ApiKey, str]:
        """Make a key.

        Returns:
            The key, and its text, which nobody can find out later.

        Raises:
            InvalidRequest: The name or the permissions cannot be such, or the time is past.
        """
        _require_management(caller)
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
            rate_limit=None,
            created_at=now,
            expires_at=expires_at,
            last_used_at=None,
        )
        await self.keys.add(key, secret.digest)
        return key, secret.text

    async def change(
        self, caller: Principal, key_id: str, *, name: str | None, permissions: Mapping[str, Any] | None
    ) -> ApiKey:
        """Change what is given, and keep the rest.

        Raises:
            ApiKeyNotFound: There is none, or it is somebody else's.
            InvalidRequest: The name or the permissions cannot be such.
        """
        _require_management(caller)
        changes: dict[str, Any] = {}
        if name is not None:
            changes["name"] = _checked(name)
        if permissions is not None:
            rights = KeyRights.of(permissions)
            changes |= {
                "permissions": permissions,
                "scopes": rights.scopes,
                "collections": rights.collections,
            }
        changed = await self.keys.change(caller.user, _canonical(key_id), lambda key: replace(key, **changes))
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


def _require_management(caller: Principal) -> None:
    """A key that reaches some collections only could otherwise make itself one that reaches all."""
    require(caller, Scope.ADMIN)
    require_all_collections(caller)


def _checked(name: str) -> str:
    if not name.strip() or len(name) > _MAX_NAME or "\0" in name:
        raise InvalidRequest(f"The name must have 1 to {_MAX_NAME} characters, and no NUL.", {"at": "name"})
    return name


def _canonical(told: str) -> str:
    try:
        return str(UUID(told))
    except ValueError:
        raise ApiKeyNotFound.of(told) from None
