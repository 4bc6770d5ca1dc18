"""The tables of accounts, as SQLAlchemy models, and their translation to and from the core vocabulary."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables import Base, UtcDateTime
from vectoray.core.accounts import ApiKey, Scope, User


class UserRow(Base):
    """One user. The email is normalised, so that uniqueness knows no spelling."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str | None] = mapped_column(Text)
    is_admin: Mapped[bool]
    is_active: Mapped[bool]
    email_verified: Mapped[bool] = mapped_column(server_default=false())
    epoch: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @classmethod
    def of(cls, user: User, password_hash: str | None) -> "UserRow":
        """The row of a user."""
        return cls(
            id=user.id,
            email=user.email,
            name=user.name,
            password_hash=password_hash,
            is_admin=user.is_admin,
            is_active=user.is_active,
            email_verified=user.email_verified,
            epoch=user.epoch,
            created_at=user.created_at,
        )

    def to_user(self) -> User:
        """The user of this row."""
        return User(
            id=self.id,
            email=self.email,
            name=self.name,
            is_admin=self.is_admin,
            is_active=self.is_active,
            email_verified=self.email_verified,
            epoch=self.epoch,
            created_at=self.created_at,
        )


class IdentityRow(Base):
    """Who a user is to another provider."""

    __tablename__ = "identities"
    __table_args__ = (Index("ix_identities_user_id", "user_id"),)

    provider: Mapped[str] = mapped_column(String(16), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(36), ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RefreshTokenRow(Base):
    """One refresh token: used once, for its successor in the same family."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("ix_refresh_tokens_user_id", "user_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    family_id: Mapped[str] = mapped_column(String(36))
    user_id: Mapped[str] = mapped_column(String(36), ForeignKey("users.id"))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ApiKeyRow(Base):
    """One API key. Of its secret there is only a SHA-256."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_user_id", "user_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(36), ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(Text)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    permissions: Mapped[dict[str, Any]] = mapped_column(JSON)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    collections: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    rate_limit: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @classmethod
    def of(cls, key: ApiKey, secret_hash: bytes) -> "ApiKeyRow":
        """The row of a key."""
        row = cls(
            id=key.id,
            user_id=key.user,
            secret_hash=secret_hash,
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=key.last_used_at,
        )
        row.change(key)
        return row

    def change(self, key: ApiKey) -> None:
        """Take over what may change in a key's life."""
        self.name = key.name
        self.permissions = dict(key.permissions)
        self.scopes = sorted(scope.value for scope in key.scopes)
        self.collections = None if key.collections is None else sorted(key.collections)
        self.rate_limit = key.rate_limit

    def to_key(self) -> ApiKey:
        """The key of this row."""
        return ApiKey(
            id=self.id,
            user=self.user_id,
            name=self.name,
            permissions=self.permissions,
            scopes=frozenset(map(Scope, self.scopes)),
            collections=None if self.collections is None else frozenset(self.collections),
            rate_limit=self.rate_limit,
            created_at=self.created_at,
            expires_at=self.expires_at,
            last_used_at=self.last_used_at,
        )
