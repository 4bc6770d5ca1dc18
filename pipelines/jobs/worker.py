"""Takes what is due, keeps its leases, stops what is not wanted any more, and gives all back at its end.

Of what it works on it knows no more than `pipelines.jobs.lane.Lane` says.
"""

import asyncio
import contextvars
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import structlog

from pipelines.jobs.lane import Claim, Lane, NotWanted, Outcome
from pipelines.jobs.metrics import SECONDS
from pipelines.jobs.settings import JobSettings
from storage.catalog import Due, Worker, Workers
from vectoray.core.errors import VectorayError

_log = structlog.get_logger(__name__)

# So often in the time of a lease it is renewed: two may be missed.
_BEATS_PER_LEASE = 3
# So often who has nothing says that they live: each time all processes forget what they know of the catalog.
_IDLE_BEAT = timedelta(seconds=10)
# A catalog that does not answer must not hold up the end.
_LOOK_ENDS_S = 3.0
_STOPPED, _BROKEN = "stopped", "broken"


def utc_now() -> datetime:
    """The time by this machine's clock."""
    return datetime.now(UTC)


@dataclass(slots=True, eq=False)
class _Piece:
    """A piece of work that is under way.

    Attributes:
        work: Runs it; cancelled to stop it.
        whole: Ends when it is let go, too.
    """

    lane: Lane[Any]
    claim: Claim
    work: asyncio.Task[Outcome]
    whole: asyncio.Task[None] | None = None


class IngestionWorker:
    """Works in one event loop, from `start` until `close`."""

    def __init__(
        self,
        lanes: Sequence[Lane[Any]],
        workers: Workers,
        settings: JobSettings,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._id = str(uuid4())
        self._lanes = lanes
        self._workers = workers
        self._settings = settings
        self._now = now
        self._started_at = now()
        self._pieces: set[_Piece] = set()
        self._awake = asyncio.Event()
        self._beat_at = self._leases_end = self._started_at
        self._loop: asyncio.Task[None] | None = None
        self._closing = False
        self._looked_s = time.monotonic()

    @property
    def running(self) -> int:
        """How many pieces of work it has."""
        return len(self._pieces)

    @property
    def idle_s(self) -> float:
        """Seconds since it last looked for work: beyond a few, it hangs."""
        return time.monotonic() - self._looked_s

    def start(self) -> None:
        """Work from now on."""
        # In a context of its own: Ray Serve cancels what inherits a cancelled request's.
        loop = asyncio.get_running_loop()
        self._loop = loop.create_task(self._work_on(), context=contextvars.Context())
        _log.info("ingestor_started", worker=self._id)

    def wake(self) -> None:
        """Look for work at once."""
        self._awake.set()

    async def close(self) -> None:
        """Take nothing more, stop everything, give all leases back."""
        self._closing = True
        self.wake()
        if self._loop is not None:
            # Not in the middle of a claim: that would still be made, and be nobody's until its lease ends.
            await asyncio.wait([self._loop], timeout=_LOOK_ENDS_S)
            self._loop.cancel()
            await asyncio.wait([self._loop])
        for piece in self._pieces:
            piece.work.cancel()
        wholes = [piece.whole for piece in self._pieces if piece.whole is not None]
        if wholes:
            await asyncio.wait(wholes)
        try:
            await self._workers.leave(self._id)
        except VectorayError as error:
            _log.warning("ingestor_left_in_silence", worker=self._id, reason=error.message)
        _log.info("ingestor_stopped", worker=self._id)

    async def _work_on(self) -> None:
        while not self._closing:
            self._awake.clear()
            try:
                await self.look()
            except VectorayError as error:
                _log.warning("ingestor_cannot_look", worker=self._id, reason=error.message)
            except Exception:  # noqa: BLE001  (logged; it looks again)
                _log.exception("ingestor_failed_to_look", worker=self._id)
            self._looked_s = time.monotonic()
            try:
                async with asyncio.timeout(self._settings.poll_s):
                    await self._awake.wait()
            except TimeoutError:
                pass

    async def look(self) -> None:
        """Renew leases if it is time, stop what is not wanted any more, and take what is due."""
        self._stop_without_lease()
        await self._beat()
        await self._stop_unwanted()
        await self._take()

    def _stop_without_lease(self) -> None:
        """A lease that could not be renewed in time may be somebody else's by now."""
        if self._now() >= self._leases_end:
            for piece in self._pieces:
                piece.work.cancel()

    async def _beat(self) -> None:
        now = self._now()
        if now < self._beat_at:
            return
        until = now + self._lease
        leases = [piece.claim.lease for piece in self._pieces]
        await self._workers.beat(Worker(self._id, self._started_at, now, len(leases)), leases, until)
        self._leases_end = until
        self._beat_at = now + (self._lease / _BEATS_PER_LEASE if leases else _IDLE_BEAT)

    async def _stop_unwanted(self) -> None:
        for lane in self._lanes:
            pieces = [piece for piece in self._pieces if piece.lane is lane and not piece.work.done()]
            if pieces:
                wanted = await lane.runs.wanted([piece.claim.lease for piece in pieces])
                for piece in pieces:
                    if piece.claim.lease not in wanted:
                        piece.work.cancel()

    async def _take(self) -> None:
        """Take from each lane in turn, until none has anything or room.

        What has ended its worker before, on all tries but one, is worked on while nothing else is.
        """
        due = {lane: await lane.runs.due(self._now()) for lane in self._lanes}
        if self._pieces and Due.LAST_TRY in due.values():
            return
        # Those with a last try first: they take it only while nothing else is there.
        rank = sorted(due, key=lambda lane: due[lane].value, reverse=True)
        open_lanes = [lane for lane in rank if due[lane] is not Due.NOTHING]
        while open_lanes and not self._closing:
            for lane in list(open_lanes):
                if any(piece.claim.is_last_try for piece in self._pieces):
                    return
                if not (self._has_room(lane) and await self._take_one(lane)):
                    open_lanes.remove(lane)

    def _has_room(self, lane: Lane[Any]) -> bool:
        return sum(piece.lane is lane for piece in self._pieces) < lane.most

    async def _take_one(self, lane: Lane[Any]) -> bool:
        now = self._now()
        if not self._pieces:
            self._leases_end, self._beat_at = now + self._lease, now + self._lease / _BEATS_PER_LEASE
        # Not longer than the leases of the others: all are renewed together.
        claim = await lane.runs.claim_next(self._id, now, self._leases_end, alone=not self._pieces)
        if claim is None:
            return False
        loop = asyncio.get_running_loop()
        work = loop.create_task(lane.run(claim, self._holds), context=contextvars.Context())
        piece = _Piece(lane, claim, work)
        self._pieces.add(piece)
        piece.whole = loop.create_task(self._see_through(piece), context=contextvars.Context())
        return True

    async def _see_through(self, piece: _Piece) -> None:
        """Wait for the end of a piece, and let it go if that was not its own."""
        began_s = time.monotonic()
        try:
            await asyncio.wait([piece.work])
            outcome = _outcome(piece.work)
            if outcome in (_STOPPED, Outcome.FAILED):
                await piece.lane.let_go(piece.claim, self._holds)
            tags = {"kind": piece.lane.name, "outcome": outcome}
            SECONDS.observe(time.monotonic() - began_s, tags)
        except NotWanted:
            _log.info("ingestion_run_lost", lane=piece.lane.name)
        except VectorayError as error:
            _log.warning("ingestion_run_not_let_go", lane=piece.lane.name, reason=error.message)
        except Exception:  # noqa: BLE001  (logged; its lease ends)
            _log.exception("ingestion_run_not_let_go", lane=piece.lane.name)
        finally:
            self._pieces.discard(piece)
            self.wake()

    def _holds(self) -> bool:
        return self._now() < self._leases_end

    @property
    def _lease(self) -> timedelta:
        return timedelta(seconds=self._settings.lease_s)


def _outcome(work: asyncio.Task[Outcome]) -> str:
    """How a piece ended. One that broke is tried again when its lease ends, and after some tries no more."""
    if work.cancelled() or isinstance(work.exception(), NotWanted):
        return _STOPPED
    failure = work.exception()
    if failure is not None:
        _log.error("ingestion_run_broke", exc_info=failure)
        return _BROKEN
    return work.result()
