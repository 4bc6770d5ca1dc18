"""Users and API keys, and what a key allows. Knows no password, token or secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """What a credential allows. Each includes those before it."""

    READ = "read"
    """See and search collections."""

    WRITE = "write"
    """Change collections and what is in them."""

    ADMIN = "admin"
    """Manage API keys, and act as administrator where the user is one."""


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with an account.

    Attributes:
        id: UUID, which is also the owner of the user's collections.
        email: Normalised: two spellings of one address are equal.
        is_admin: Whether everybody's collections are the user's to see and change.
        is_active: Whether the user's credentials are accepted.
        email_verified: Whether somebody trusted has said that the email is the user's.
        epoch: Grows when all that proved who the user is becomes worthless; access tokens name theirs.
    """

    id: str
    email: str
    name: str
    is_admin: bool
    is_active: bool
    created_at: datetime
    email_verified: bool = False
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is to another provider.

    Attributes:
        provider: Such as ``google``.
        subject: What the provider calls them, for ever.
    """

    provider: str
    subject: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of an API key besides its secret.

    Attributes:
        id: UUID; not secret.
        user: Id of the user in whose name it acts.
        permissions: What the key was asked to allow, as it was written.
        scopes: What it allows.
        collections: Ids of the only collections it reaches; None for all of the user's.
        rate_limit: Requests per minute; None for no limit of its own.
        last_used_at: To the minute.
    """

    id: str
    user: str
    name: str
    permissions: Mapping[str, object]
    scopes: frozenset[Scope]
    collections: frozenset[str] | None
    rate_limit: int | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
