"""Which of the rows that are due is taken next: everybody in turn, and a last try alone. Knows no status."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Generic, TypeVar

from sqlalchemy import CTE, ColumnElement, and_, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

from storage.catalog.work_tables import TurnRow

MOST_TRIES = 3
"""So often a document is taken. One that ends its worker each time is given up then."""

# Others who take at the same time may have locked what the first of these have.
_LOOKED_AT = 8
# SQLAlchemy has no common word for an insert that changes what is there.
_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

_R = TypeVar("_R")


class Due(Enum):
    """What there is to take.

    Attributes:
        LAST_TRY: Something that a worker takes only if it has nothing else, see `WorkQueue.next`.
    """

    NOTHING = 0
    SOMETHING = 1
    LAST_TRY = 2


@dataclass(frozen=True, slots=True)
class WorkQueue(Generic[_R]):
    """Rows of one table that has the columns of `Leased`.

    Attributes:
        name: In the table of turns.
        row: The table's model.
        row_id: Its primary key.
        who: Whose a row is: of those who have one that is due, each is served in turn.
        order: Which of one's rows comes first.
        active: Rows that do not meet this are left alone.
    """

    name: str
    row: type[_R]
    row_id: InstrumentedAttribute[str]
    who: InstrumentedAttribute[str]
    order: InstrumentedAttribute[datetime]
    active: ColumnElement[bool]

    def due(self, session: Session, now: datetime) -> Due:
        """What there is to take."""
        if session.scalar(select(exists().where(self._last_try(now)))):
            return Due.LAST_TRY
        return Due.SOMETHING if session.scalar(select(exists().where(self._due(now)))) else Due.NOTHING

    def next(self, session: Session, now: datetime, *, alone: bool) -> _R | None:
        """The row to take, locked until the transaction ends; None if there is none.

        A row that has ended its worker on all tries but one is the next, and only for a worker that has
        nothing else: what dies with it is not to blame, and would be given up as well after some tries.

        Args:
            session: Of a transaction that writes.
            now: When it is.
            alone: Whether the worker has nothing else.
        """
        due, last_try = self._due(now), self._last_try(now)
        if session.scalar(select(exists().where(last_try))):
            return self._first(session, last_try) if alone else None
        for who in self._in_turn(session, due):
            found = self._first(session, and_(due, self.who == who))
            if found is not None:
                self._note_turn(session, who, now)
                return found
        return None

    def _first(self, session: Session, condition: ColumnElement[bool]) -> _R | None:
        ordered = select(self.row).where(condition).order_by(self.order, self.row_id).limit(1)
        return session.scalar(ordered.with_for_update(skip_locked=True, of=self.row))

    def _in_turn(self, session: Session, due: ColumnElement[bool]) -> list[str]:
        """Whose rows are due: first who has the fewest under way, then who waits longest for a turn.

        By turns alone, somebody with slow rows would soon have all workers wait for these.
        """
        table = self._table()
        # Not "is not null": of that, SQLite does not see that few rows meet it.
        under_way = Counter(session.scalars(select(self.who).where(table.lease > "")))
        everybody = self._everybody()
        of_one = select(self.order).where(due, self.who == everybody.c.who).correlate(everybody)
        oldest = of_one.order_by(self.order).limit(1).scalar_subquery()
        turns = and_(TurnRow.queue == self.name, TurnRow.who == everybody.c.who)
        ordered = (
            select(everybody.c.who, oldest.label("oldest"))
            .outerjoin_from(everybody, TurnRow, turns)
            .order_by(TurnRow.taken_at.nulls_first(), "oldest")
        )
        waiting = [who for who, since in session.execute(ordered) if since is not None]
        return sorted(waiting, key=under_way.__getitem__)[:_LOOKED_AT]

    def _everybody(self) -> CTE:
        """Whoever has a row that is due some time: one step in an index for each, however many rows."""
        some_time = self._table().due_at.is_not(None)
        next_one = select(self.who).where(some_time).order_by(self.who).limit(1)
        first = select(next_one.scalar_subquery().label("who")).cte("everybody", recursive=True)
        after = next_one.where(self.who > first.c.who).correlate(first).scalar_subquery()
        return first.union_all(select(after).where(first.c.who.is_not(None)))

    def _note_turn(self, session: Session, who: str, now: datetime) -> None:
        insert = _INSERT[session.get_bind().dialect.name](TurnRow)
        session.execute(
            insert.values(queue=self.name, who=who, taken_at=now).on_conflict_do_update(
                index_elements=[TurnRow.queue, TurnRow.who], set_={"taken_at": now}
            )
        )

    def _due(self, now: datetime) -> ColumnElement[bool]:
        return and_(self._table().due_at <= now, self.active)

    def _last_try(self, now: datetime) -> ColumnElement[bool]:
        return and_(self._due(now), self._table().tries == MOST_TRIES - 1)

    def _table(self) -> Any:
        return self.row
