"""Between the Vectory API's wire models and users and keys. Pure functions."""

from datetime import datetime

from serve.service.accounts import TokenPair
from serve.service.api_keys import UNCHANGED, KeyChange
from serve.surfaces.vectory import account_wire as wire
from vectoray.core.accounts import ApiKey, User


def user_info(user: User) -> wire.UserInfo:
    """A user."""
    return wire.UserInfo(
        id=user.id,
        email=user.email,
        name=user.name,
        is_active=user.is_active,
        created_at=user.created_at,
    )


def token_pair(pair: TokenPair) -> wire.TokenPair:
    """Two tokens."""
    return wire.TokenPair(access_token=pair.access, refresh_token=pair.refresh)


def key_change(body: wire.UpdateKey) -> KeyChange:
    """What to change of a key."""
    return KeyChange(
        name=body.name,
        permissions=body.permissions,
        rate_limit=body.rate_limit if "rate_limit" in body.model_fields_set else UNCHANGED,
    )


def key_info(key: ApiKey, now: datetime) -> wire.KeyInfo:
    """A key, as it is at ``now``."""
    return wire.KeyInfo(
        id=key.id,
        name=key.name,
        user_id=key.user,
        permissions=dict(key.permissions),
        rate_limit=key.rate_limit,
        last_used_at=key.last_used_at,
        created_at=key.created_at,
        expires_at=key.expires_at,
        is_active=key.expires_at is None or now < key.expires_at,
    )


def created_key(key: ApiKey, text: str) -> wire.CreatedKey:
    """A key that was made just now, and its text."""
    return wire.CreatedKey(**key_info(key, key.created_at).model_dump(), raw_key=text)
