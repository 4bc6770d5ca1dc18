"""Who a user is to other providers: the one place that reads and writes the table of identities."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage.catalog.account_tables import ApiKeyRow, IdentityRow, RefreshTokenRow, UserRow
from storage.catalog.database import Database
from vectoray.core.accounts import Identity, User


class Identities:
    """Every method is one transaction, durable when it returns.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, identity: Identity) -> User | None:
        """The user who has this identity."""

        def work(session: Session) -> User | None:
            row = session.get(IdentityRow, (identity.provider, identity.subject))
            user = None if row is None else session.get(UserRow, row.user_id)
            return None if user is None else user.to_user()

        return await self._database.read(work)

    async def claim(self, identity: Identity, newcomer: User, now: datetime) -> User:
        """Give an identity to the user who has the newcomer's email, or else to the newcomer.

        Whoever made an account with an email that nobody had proven may be anybody. Such an account goes to
        who has proven it now, without its password, tokens and keys: see docs/adr/0034.

        Args:
            identity: Proven by its provider.
            newcomer: Kept, as a user without password, if nobody has their email, which is proven as well.
            now: When that is.

        Returns:
            The user who has the identity now. Of several callers at once, all get the same.
        """
        try:
            return await self._database.write(lambda session: _claim(session, identity, newcomer, now))
        except IntegrityError:
            # Another gateway was quicker; what it wrote is there to be found now.
            return await self._database.write(lambda session: _claim(session, identity, newcomer, now))


def _claim(session: Session, identity: Identity, newcomer: User, now: datetime) -> User:
    # All that changes one user's credentials happens one after another. SQLite locks the database instead.
    with_email = select(UserRow).where(UserRow.email == newcomer.email).with_for_update()
    user = None
    known = session.get(IdentityRow, (identity.provider, identity.subject))
    if known is None and (user := session.scalar(with_email)) is not None:
        # Whoever had the lock before may have given the identity away.
        known = session.get(IdentityRow, (identity.provider, identity.subject))
    if known is not None:
        return session.get_one(UserRow, known.user_id).to_user()
    if user is None:
        user = UserRow.of(newcomer, password_hash=None)
        session.add(user)
        session.flush()
    elif not user.email_verified:
        _take_from_whoever_had_it(session, user, now)
    session.add(
        IdentityRow(provider=identity.provider, subject=identity.subject, user_id=user.id, created_at=now)
    )
    session.flush()
    return user.to_user()


def _take_from_whoever_had_it(session: Session, user: UserRow, now: datetime) -> None:
    user.email_verified = True
    user.password_hash = None
    user.epoch += 1
    for table in (RefreshTokenRow, ApiKeyRow):
        theirs = (table.user_id == user.id, table.revoked_at.is_(None))
        session.execute(update(table).where(*theirs).values(revoked_at=now))
