"""Registers users, and lets them in: by a password first, by refresh tokens then."""

import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from serve.auth import Principal
from serve.credentials.passwords import Passwords
from serve.credentials.tokens import TokenKind, Tokens
from storage.catalog import Accounts, RefreshToken
from vectoray.core.accounts import User
from vectoray.core.errors import InvalidRequest, Unauthenticated

_MAX_EMAIL = 254
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a user goes on with. In no ``repr`` and so in no log."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccountService:
    """Users, as they register and log in."""

    accounts: Accounts
    passwords: Passwords
    tokens: Tokens

    async def register(self, email: str, password: str, name: str) -> User:
        """Make an account.

        Raises:
            InvalidRequest: The email, the password or the name cannot be one.
            Conflict: There is an account with this email.
            Overloaded: Too many passwords are being checked.
        """
        normalised = _normalise(email)
        if normalised is None:
            raise InvalidRequest(
                f"The email must be an address such as ann@example.com, of at most {_MAX_EMAIL} characters.",
                {"at": "email"},
            )
        if len(name) > _MAX_NAME or "\0" in name:
            raise InvalidRequest(
                f"The name must have at most {_MAX_NAME} characters, and no NUL.", {"at": "name"}
            )
        user = User(
            id=str(uuid4()),
            email=normalised,
            name=name,
            is_admin=False,
            is_active=True,
            created_at=datetime.now(UTC),
        )
        await self.accounts.add_user(user, await self.passwords.hash(password))
        return user

    async def log_in(self, email: str, password: str) -> TokenPair:
        """Tokens for who knows the password.

        An email that is nobody's gets the same answer, after the same work, as a wrong password.

        Raises:
            Unauthenticated: Email and password do not belong together.
            Overloaded: Too many passwords are being checked.
        """
        normalised = _normalise(email)
        user, known = None, None
        if normalised is not None:
            user, known = await self.accounts.by_email(normalised) or (None, None)
        right = await self.passwords.check(password, known)
        if user is None or not right or not user.is_active:
            raise Unauthenticated("The email or the password is wrong.")
        pair, token = self._pair(user.id)
        await self.accounts.begin_family(token, datetime.now(UTC))
        return pair

    async def refresh(self, refresh_token: str) -> TokenPair:
        """New tokens for a refresh token, which is worthless then.

        Raises:
            Unauthenticated: It is wrong, has expired or was used before. In the last case, nobody knows
                whether by its owner or a thief: no refresh token of the same login is valid any more.
        """
        claims = self.tokens.check(TokenKind.REFRESH, refresh_token)
        pair, successor = self._pair(claims.user)
        if not await self.accounts.rotate(claims.id, successor, datetime.now(UTC)):
            raise Unauthenticated("The refresh token is not valid, or not any more; log in again.")
        return pair

    async def profile(self, caller: Principal) -> User:
        """Who is calling.

        Raises:
            Unauthenticated: Nobody with an account.
        """
        user = await self.accounts.user(caller.user)
        if user is None:
            raise Unauthenticated("Log in to see your profile.")
        return user

    def _pair(self, user: str) -> tuple[TokenPair, RefreshToken]:
        access, _ = self.tokens.make(TokenKind.ACCESS, user)
        refresh, claims = self.tokens.make(TokenKind.REFRESH, user)
        return TokenPair(access, refresh), RefreshToken(claims.id, user, claims.expires_at)


def _normalise(email: str) -> str | None:
    """One spelling of an address; None if it is none."""
    normalised = unicodedata.normalize("NFC", email.strip()).casefold()
    before, at, after = normalised.partition("@")
    whole = bool(before and at and after) and "@" not in after and len(normalised) <= _MAX_EMAIL
    return normalised if whole and normalised.isprintable() and " " not in normalised else None
