"""API keys: the one place that reads and writes their table of the catalog."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from storage.catalog.account_tables import ApiKeyRow, UserRow
from storage.catalog.database import Database
from vectoray.core.accounts import ApiKey, User


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What is needed to check a key.

    Attributes:
        secret_hash: SHA-256 of its secret, 32 bytes.
        user: In whose name it acts.
    """

    key: ApiKey
    secret_hash: bytes = field(repr=False)
    user: User


class ApiKeys:
    """Keys that are not revoked. Every method is one transaction, durable when it returns.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey, secret_hash: bytes, *, epoch: int = 0) -> bool:
        """Keep a new key, and the SHA-256 of its secret.

        Returns:
            False if nothing was kept: whoever makes it proved who they are in an ``epoch`` of the user that
            has ended meanwhile.
        """

        def work(session: Session) -> bool:
            user = session.scalar(select(UserRow).where(UserRow.id == key.user).with_for_update())
            if user is None or user.epoch != epoch:
                return False
            session.add(ApiKeyRow.of(key, secret_hash))
            return True

        return await self._database.write(work)

    async def find(self, key_id: str) -> StoredKey | None:
        """The key with this id, whoever's it is."""
        statement = (
            select(ApiKeyRow, UserRow)
            .join(UserRow, UserRow.id == ApiKeyRow.user_id)
            .where(ApiKeyRow.id == key_id, ApiKeyRow.revoked_at.is_(None))
        )
        found = await self._database.read(lambda session: session.execute(statement).one_or_none())
        if found is None:
            return None
        key, user = found
        return StoredKey(key.to_key(), key.secret_hash, user.to_user())

    async def of_user(self, user_id: str) -> list[ApiKey]:
        """A user's keys, oldest first."""
        statement = (
            select(ApiKeyRow)
            .where(ApiKeyRow.user_id == user_id, ApiKeyRow.revoked_at.is_(None))
            .order_by(ApiKeyRow.created_at, ApiKeyRow.id)
        )
        rows = await self._database.read(lambda session: session.scalars(statement).all())
        return [row.to_key() for row in rows]

    async def change(self, user_id: str, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey | None:
        """Apply ``change`` to a user's key: to its name, or to what it allows.

        Returns:
            The key as it is now; None if there is no such key.
        """

        def work(session: Session) -> ApiKey | None:
            row = _of_user(session, user_id, key_id)
            if row is None:
                return None
            row.change(change(row.to_key()))
            return row.to_key()

        return await self._database.write(work)

    async def revoke(self, user_id: str, key_id: str, now: datetime) -> bool:
        """Make a user's key worthless for ever. False if there is no such key."""

        def work(session: Session) -> bool:
            row = _of_user(session, user_id, key_id)
            if row is not None:
                row.revoked_at = now
            return row is not None

        return await self._database.write(work)

    async def note_use(self, used: Mapping[str, datetime]) -> None:
        """Keep when each of these keys, by id, was used last."""

        def work(session: Session) -> None:
            for key_id, at in sorted(used.items()):  # in one order everywhere: no deadlocks
                earlier = or_(ApiKeyRow.last_used_at.is_(None), ApiKeyRow.last_used_at < at)
                statement = update(ApiKeyRow).where(ApiKeyRow.id == key_id, earlier)
                session.execute(statement.values(last_used_at=at))

        await self._database.write(work)


def _of_user(session: Session, user_id: str, key_id: str) -> ApiKeyRow | None:
    statement = select(ApiKeyRow).where(
        ApiKeyRow.id == key_id, ApiKeyRow.user_id == user_id, ApiKeyRow.revoked_at.is_(None)
    )
    return session.scalar(statement.with_for_update())
