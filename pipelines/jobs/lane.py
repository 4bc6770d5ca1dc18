"""What a worker needs of one kind of work, and what work may ask of its worker."""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from storage.catalog import Due


class Claim(Protocol):
    """A piece of work in somebody's hands."""

    @property
    def lease(self) -> str:
        """Who has it may change the work."""

    @property
    def is_last_try(self) -> bool:
        """Whether the worker works on nothing else meanwhile."""


_C = TypeVar("_C", bound=Claim)
_Taken_co = TypeVar("_Taken_co", bound=Claim, covariant=True)

Held = Callable[[], bool]
"""Whether the lease of a piece of work still counts; to be asked right before anything is written."""


class Outcome(StrEnum):
    """How a piece of work came to its end."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class NotWanted(Exception):
    """A piece of work is to be let go: it was cancelled, its place is gone, or its lease is lost."""


class Queue(Protocol[_Taken_co]):
    """What is to be done, and by whom. Any method may raise `vectoray.core.errors.Unavailable`."""

    async def due(self, now: datetime) -> Due:
        """What there is to take."""

    async def claim_next(
        self, worker: str, now: datetime, until: datetime, *, alone: bool
    ) -> _Taken_co | None:
        """Take the next piece; the arguments are those of `storage.catalog.JobRuns.claim_next`."""

    async def wanted(self, leases: Sequence[str]) -> set[str]:
        """Those of these leases whose pieces are still wanted."""


class Lane(Protocol[_C]):
    """One kind of work. Any method may raise `vectoray.core.errors.Unavailable`."""

    @property
    def name(self) -> str:
        """For logs and metrics."""

    @property
    def most(self) -> int:
        """Pieces that one worker has at once."""

    @property
    def runs(self) -> Queue[_C]:
        """Where pieces come from."""

    async def run(self, claim: _C, held: Held) -> Outcome:
        """Bring a piece to its end, for better or worse. May be cancelled at any time.

        Raises:
            NotWanted: It is to be let go.
        """

    async def let_go(self, claim: _C, held: Held) -> None:
        """Leave nothing half done of a piece that failed or was stopped, and give its lease back.

        Raises:
            NotWanted: Its lease is lost; it is left to whoever takes it next.
        """
