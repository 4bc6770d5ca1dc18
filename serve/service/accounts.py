"""Registers users, and lets them in: by a password first, by refresh tokens then."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from serve.auth import Principal
from serve.credentials.passwords import Passwords
from serve.credentials.tokens import TokenKind, Tokens
from serve.service.attempts import Attempts
from serve.service.emails import MAX_EMAIL_CHARACTERS, normalised_email
from storage.catalog import Accounts, RefreshToken
from vectoray.core.accounts import User
from vectoray.core.errors import InvalidRequest, Unauthenticated

_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a user goes on with. In no ``repr`` and so in no log."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccountService:
    """Users, as they register and log in.

    Where one proves who one is, ``address`` says where the request came from, see `Attempts`, and any method
    may raise `RateLimited`.
    """

    accounts: Accounts
    passwords: Passwords
    tokens: Tokens
    attempts: Attempts

    async def register(self, email: str, password: str, name: str, address: str) -> User:
        """Make an account.

        Raises:
            InvalidRequest: The email, the password or the name cannot be one.
            Conflict: There is an account with this email.
            Overloaded: Too many passwords are being checked.
        """
        await self.attempts.count(address)
        normalised = normalised_email(email)
        if normalised is None:
            raise InvalidRequest(
                "The email must be an address such as ann@example.com, of at most "
                f"{MAX_EMAIL_CHARACTERS} characters.",
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

    async def log_in(self, email: str, password: str, address: str) -> TokenPair:
        """Tokens for who knows the password.

        An email that is nobody's gets the same answer, after the same work, as a wrong password.

        Raises:
            Unauthenticated: Email and password do not belong together.
            Overloaded: Too many passwords are being checked.
        """
        return await self.begin_session(await self._check(email, password, address))

    async def access_token(self, email: str, password: str, address: str) -> str:
        """An access token alone for who knows the password, as `log_in`.

        Raises:
            Unauthenticated: Email and password do not belong together.
            Overloaded: Too many passwords are being checked.
            RateLimited: As `log_in`.
        """
        user = await self._check(email, password, address)
        access, _ = self.tokens.make(TokenKind.ACCESS, user.id, epoch=user.epoch)
        return access

    async def _check(self, email: str, password: str, address: str) -> User:
        await self.attempts.count(address)
        normalised = normalised_email(email)
        user, known = None, None
        if normalised is not None:
            await self.attempts.count_login(normalised, address)
            user, known = await self.accounts.by_email(normalised) or (None, None)
        right = await self.passwords.check(password, known)
        if user is None or not right or not user.is_active:
            raise Unauthenticated("The email or the password is wrong.")
        await self.attempts.succeeded(user.email, address)
        renewed = await self.passwords.renewed(password, known)
        if renewed is not None:
            await self.accounts.replace_hash(user.id, known, renewed)
        return user

    async def begin_session(self, user: User) -> TokenPair:
        """Tokens for somebody who has just proven to be ``user``."""
        pair, token = self._pair(user.id, user.epoch)
        await self.accounts.begin_family(token, datetime.now(UTC))
        return pair

    async def refresh(self, refresh_token: str, address: str) -> TokenPair:
        """New tokens for a refresh token, which is worthless then.

        Raises:
            Unauthenticated: It is wrong, has expired or was used before. In the last case, nobody knows
                whether by its owner or a thief: no refresh token of the same login is valid any more.
        """
        await self.attempts.count(address)
        claims = self.tokens.check(TokenKind.REFRESH, refresh_token)
        pair, successor = self._pair(claims.user, claims.epoch)
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

    def _pair(self, user: str, epoch: int) -> tuple[TokenPair, RefreshToken]:
        access, _ = self.tokens.make(TokenKind.ACCESS, user, epoch=epoch)
        refresh, claims = self.tokens.make(TokenKind.REFRESH, user, epoch=epoch)
        return TokenPair(access, refresh), RefreshToken(claims.id, user, claims.expires_at)
