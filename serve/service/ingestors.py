"""Whether anybody works on jobs and URLs: what pends is not to wait for nobody in silence."""

from dataclasses import dataclass
from datetime import UTC, datetime

from serve.ingestion_watch import SEEN_WITHIN
from storage.catalog import Workers

NONE_RUNS = (
    "No ingestor is running on this server, so nothing is ingested until one is; "
    "ask whoever runs the server to start one."
)


@dataclass(frozen=True, slots=True)
class Ingestors:
    """The processes that ingest, as their signs of life in the catalog tell.

    Attributes:
        expected: Whether this server is to have any. One that has none by its settings lacks nothing.
    """

    workers: Workers
    expected: bool

    async def alive(self) -> bool:
        """Whether one was seen a moment ago.

        Raises:
            Unavailable: The catalog does not answer.
        """
        return bool(await self.workers.seen_since(datetime.now(UTC) - SEEN_WITHIN))

    async def work(self) -> bool:
        """Whether there is one, if there should be.

        Raises:
            Unavailable: The catalog does not answer.
        """
        return not self.expected or await self.alive()
