"""What the Vectory API sends and receives about accounts and keys. Pydantic models only."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PlainValidator, WithJsonSchema

from serve.wire_types import WireModel


def _to_time(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("must be a time such as '2027-01-01T00:00:00Z'")  # noqa: TRY004  (pydantic's way)
    try:
        time = datetime.fromisoformat(value)
        return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time such as '2027-01-01T00:00:00Z'") from None


Time = Annotated[
    datetime, PlainValidator(_to_time), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""A point in time, in UTC where it names no time zone."""

Permissions = Annotated[
    dict[str, Any],
    Field(
        description="{} for all that the user may do. 'scopes', a list of read, write and admin, and "
        "'collections', a list of UUIDs, limit it."
    ),
]


RateLimit = Annotated[
    int | None,
    Field(ge=1, le=1_000_000, description="Most requests in a minute. null for no limit of its own."),
]


class Registration(WireModel):
    """An account to make."""

    email: str
    password: Annotated[str, Field(description="8 to 1,024 characters.", repr=False)]
    name: str = ""


class Login(WireModel):
    """Who wants to log in."""

    email: str
    password: Annotated[str, Field(repr=False)]


class Refresh(WireModel):
    """A refresh token that is to be used."""

    refresh_token: Annotated[str, Field(repr=False)]


class UserInfo(BaseModel):
    """A user. The time is UTC."""

    id: str
    email: str
    name: str
    is_active: bool
    created_at: datetime


class TokenPair(BaseModel):
    """Tokens: one to call with, and one, to be used once, for the next two."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  (no secret)


class CreateKey(WireModel):
    """A key to make."""

    name: str
    permissions: Permissions = {}  # noqa: RUF012  (pydantic copies it)
    expires_at: Annotated[Time | None, Field(description="null for never.")] = None
    rate_limit: RateLimit = None


class UpdateKey(WireModel):
    """What to change of a key. What is left out stays; so do a name and permissions that are null."""

    name: str | None = None
    permissions: Permissions | None = None
    rate_limit: RateLimit = None


class KeyInfo(BaseModel):
    """A key, without its secret. Times are UTC."""

    id: str
    name: str
    user_id: str
    permissions: Permissions
    rate_limit: int | None
    last_used_at: Annotated[datetime | None, Field(description="Up to a minute late.")]
    created_at: datetime
    expires_at: datetime | None
    is_active: Annotated[bool, Field(description="false once it has expired.")]


class CreatedKey(KeyInfo):
    """A new key, and the only time that its text is shown."""

    raw_key: str
