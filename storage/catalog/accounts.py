"""Users and their refresh tokens: the one place that reads and writes these tables of the catalog."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.catalog.account_tables import RefreshTokenRow, UserRow
from storage.catalog.database import Database
from vectoray.core.accounts import User
from vectoray.core.errors import Conflict


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token as the catalog knows it.

    Attributes:
        id: UUID of this token.
        user: Id of its user.
    """

    id: str
    user: str
    expires_at: datetime


class Accounts:
    """Every method is one transaction, durable when it returns.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_user(self, user: User, password_hash: str | None) -> None:
        """Keep a new user.

        Raises:
            Conflict: Another user has the email.
        """
        try:
            await self._database.write(lambda session: session.add(UserRow.of(user, password_hash)))
        except IntegrityError:
            raise Conflict("There is an account with this email already; log in instead.") from None

    async def user(self, user_id: str) -> User | None:
        """The user with this id."""
        row = await self._database.read(lambda session: session.get(UserRow, user_id))
        return None if row is None else row.to_user()

    async def by_email(self, email: str) -> tuple[User, str | None] | None:
        """The user with this normalised email, and the hash of their password if they have one."""
        statement = select(UserRow).where(UserRow.email == email)
        row = await self._database.read(lambda session: session.scalar(statement))
        return None if row is None else (row.to_user(), row.password_hash)

    async def users(self) -> list[User]:
        """All users, oldest first."""
        statement = select(UserRow).order_by(UserRow.created_at, UserRow.id)
        rows = await self._database.read(lambda session: session.scalars(statement).all())
        return [row.to_user() for row in rows]

    async def change(self, email: str, change: Callable[[User], User]) -> User | None:
        """Apply ``change`` to the user with this normalised email: to what they may.

        Returns:
            The user as they are now; None if there is no such user.
        """

        def work(session: Session) -> User | None:
            row = session.scalar(select(UserRow).where(UserRow.email == email).with_for_update())
            if row is None:
                return None
            wanted = change(row.to_user())
            row.is_admin, row.is_active = wanted.is_admin, wanted.is_active
            return row.to_user()

        return await self._database.write(work)

    async def replace_hash(self, user_id: str, known: str | None, password_hash: str) -> None:
        """Keep another hash of a user's password, unless they have another password than ``known`` by now."""
        same = (UserRow.id == user_id, UserRow.password_hash == known)
        statement = update(UserRow).where(*same).values(password_hash=password_hash)
        await self._database.write(lambda session: session.execute(statement))

    async def begin_family(self, token: RefreshToken, now: datetime) -> None:
        """Keep the first refresh token of a new family, and forget those of its user that have expired."""

        def work(session: Session) -> None:
            _forget_expired(session, token.user, now)
            session.add(_row_of(token, family_id=token.id))

        await self._database.write(work)

    async def rotate(self, token_id: str, successor: RefreshToken, now: datetime) -> bool:
        """Use a refresh token, once, and keep its successor in the same family.

        Of several callers with one token the first wins; each other one is somebody who should not have it,
        and nobody knows which of them is the thief: the whole family is revoked.

        Returns:
            False if nothing was kept: the token was used or revoked before, has expired, is not this user's,
            or its user is not active.
        """

        def work(session: Session) -> bool:
            # All that one user's tokens do happens one after another. SQLite locks the database instead.
            locked = select(UserRow).where(UserRow.id == successor.user).with_for_update()
            user = session.scalar(locked)
            token = session.get(RefreshTokenRow, token_id)
            if user is None or token is None or token.user_id != user.id or token.expires_at <= now:
                return False
            if token.used_at is not None:
                _revoke_family(session, token, now)
            if token.used_at is not None or token.revoked_at is not None or not user.is_active:
                return False
            token.used_at = now
            session.add(_row_of(successor, family_id=token.family_id))
            session.flush()
            _forget_expired(session, user.id, now)
            return True

        return await self._database.write(work)


def _row_of(token: RefreshToken, *, family_id: str) -> RefreshTokenRow:
    return RefreshTokenRow(id=token.id, family_id=family_id, user_id=token.user, expires_at=token.expires_at)


def _revoke_family(session: Session, token: RefreshTokenRow, now: datetime) -> None:
    family = (
        RefreshTokenRow.user_id == token.user_id,
        RefreshTokenRow.family_id == token.family_id,
        RefreshTokenRow.revoked_at.is_(None),
    )
    session.execute(update(RefreshTokenRow).where(*family).values(revoked_at=now))


def _forget_expired(session: Session, user_id: str, now: datetime) -> None:
    expired = (RefreshTokenRow.user_id == user_id, RefreshTokenRow.expires_at <= now)
    session.execute(delete(RefreshTokenRow).where(*expired))
