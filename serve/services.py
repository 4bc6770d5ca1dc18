"""All services of one process, opened together and closed together."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from cluster.engine import Engine
from serve.authenticator import Authenticator
from serve.credentials.id_tokens import IdTokens
from serve.credentials.passwords import Passwords
from serve.credentials.tokens import Tokens
from serve.event_feed import EventFeed
from serve.hit_counters import HitCounters
from serve.ingestion_watch import IngestionWatch
from serve.job_watch import JobWatch
from serve.key_use import KeyUse
from serve.machine import Machine
from serve.query_counts import QueryCounts
from serve.service.accounts import AccountService
from serve.service.api_keys import ApiKeyService
from serve.service.attempts import AttemptLimits, Attempts
from serve.service.collections import CollectionService
from serve.service.completion import Completion
from serve.service.event_relay import EventRelay
from serve.service.event_streams import EventStreamService
from serve.service.events import EventService
from serve.service.explain import ExplainService
from serve.service.health import HealthService
from serve.service.ingestors import Ingestors
from serve.service.items import ItemService
from serve.service.jobs import JobService
from serve.service.limits import CollectionDefaults, Limits
from serve.service.open_streams import OpenStreams
from serve.service.passages import PassageService
from serve.service.points import PointService
from serve.service.project_chunks import ProjectChunkService
from serve.service.project_shares import ProjectShareService
from serve.service.project_urls import ProjectUrlService
from serve.service.projects import ProjectService
from serve.service.recovery import recover_unfinished
from serve.service.request_limits import RequestLimits
from serve.service.search import SearchService, TextEmbedder
from serve.service.server_status import Embedding, ModelProbe, ServerStatusService
from serve.service.sign_in import SignInService
from serve.service.sources import SourceService
from serve.service.statistics import StatisticsService
from serve.service.system import SystemService
from serve.service.uploads import UploadService
from serve.upload_sweep import UploadSweep
from storage.blobs import Blobs
from storage.catalog import (
    Accounts,
    ApiKeys,
    Catalog,
    Documents,
    Identities,
    Jobs,
    Projects,
    ProjectShares,
    ProjectUrls,
    QueryStatistics,
    Uploads,
    Workers,
)
from storage.events import EventLog
from vectoray.core.errors import Unavailable, VectorayError
from vectoray.core.ingestion import Chunking
from vectoray.embedding import ModelInfo

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How often callers may come.

    Attributes:
        per_minute: Requests of one user, and of one address without a credential; None for no limit.
        redis_url: Where all gateways count together; None where each counts by itself.
    """

    per_minute: int | None = None
    attempts: AttemptLimits = field(default_factory=AttemptLimits)
    redis_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers call. Built by `open`."""

    collections: CollectionService
    points: PointService
    passages: PassageService
    sources: SourceService
    items: ItemService
    search: SearchService
    health: HealthService
    statistics: StatisticsService
    system: SystemService
    accounts: AccountService
    sign_in: SignInService
    api_keys: ApiKeyService
    request_limits: RequestLimits
    counters: HitCounters
    uploads: UploadService
    jobs: JobService
    explain: ExplainService
    projects: ProjectService
    project_urls: ProjectUrlService
    project_chunks: ProjectChunkService
    project_shares: ProjectShareService
    server_status: ServerStatusService
    authenticator: Authenticator
    catalog: Catalog
    engine: Engine
    completion: Completion
    key_use: KeyUse
    query_counts: QueryCounts
    job_watch: JobWatch
    upload_sweep: UploadSweep
    ingestion_watch: IngestionWatch
    events: EventService
    event_streams: EventStreamService
    relay: EventRelay

    @classmethod
    async def open(
        cls,
        *,
        catalog: Catalog,
        engine: Engine,
        embedder: TextEmbedder,
        models: Sequence[ModelInfo],
        defaults: CollectionDefaults,
        limits: Limits,
        chunking: Chunking,
        machine: Machine,
        passwords: Passwords,
        tokens: Tokens,
        blobs: Blobs,
        event_log: EventLog,
        rate_limits: RateLimits = RateLimits(),
        providers: Mapping[str, IdTokens] | None = None,
        keep_unused_uploads_s: float = 7 * 86_400,
        wake_ingestors: Callable[[], None] = lambda: None,
        ingestors_expected: bool = False,
    ) -> "Services":
        """Finish what a crash interrupted, and build the services.

        ``models`` are the embedding models that this server has.
        They own ``catalog``, ``engine``, ``passwords`` and ``event_log``. Accounts and projects are in the
        catalog's database. Of ``providers``, one signs in with those that are given.
        ``wake_ingestors`` is called when there is something to run, or to stop. ``ingestors_expected`` says
        whether somebody should be there to do so.
        """
        relay = EventRelay(catalog, event_log)
        # Before and after: a collection's end comes after its beginning, and what it held between the two.
        await relay.recover()
        await recover_unfinished(catalog, engine)
        await relay.relay()
        completion = Completion()
        accounts, keys = Accounts(catalog.database), ApiKeys(catalog.database)
        projects, urls = Projects(catalog.database), ProjectUrls(catalog.database)
        shares = ProjectShares(catalog.database)
        model = defaults.embedding_model
        key_use = KeyUse(keys)
        collections = CollectionService(catalog, engine, limits, defaults, completion, models, relay)
        statistics = QueryStatistics(catalog.database)
        query_counts = QueryCounts(statistics)
        points = PointService(catalog, engine, limits)
        counters = HitCounters(rate_limits.redis_url)
        attempts = Attempts(counters, rate_limits.attempts)
        account_service = AccountService(accounts, passwords, tokens, attempts)
        uploads, jobs = Uploads(catalog.database), Jobs(catalog.database)
        job_watch = JobWatch(jobs)
        streams = OpenStreams(limits.max_streams_per_user)
        upload_sweep = UploadSweep(uploads, blobs, keep_unused_s=keep_unused_uploads_s)
        upload_sweep.start()
        workers = Workers(catalog.database)
        ingestors = Ingestors(workers, ingestors_expected)
        ingestion_watch = IngestionWatch(workers, urls)
        ingestion_watch.start()
        events = EventService(EventFeed(event_log))
        return cls(
            collections=collections,
            points=points,
            passages=PassageService(points),
            sources=SourceService(catalog, engine),
            search=SearchService(catalog, engine, embedder, models, query_counts),
            items=ItemService(catalog, engine, limits),
            health=HealthService(collections),
            statistics=StatisticsService(collections, statistics, query_counts),
            system=SystemService(collections, models, limits, ingestors),
            accounts=account_service,
            sign_in=SignInService(providers or {}, Identities(catalog.database), account_service, attempts),
            api_keys=ApiKeyService(keys),
            request_limits=RequestLimits(counters, rate_limits.per_minute),
            counters=counters,
            uploads=UploadService(catalog, uploads, blobs, limits, completion),
            jobs=JobService(
                catalog, engine, uploads, jobs, job_watch, streams, models, ingestors, wake_ingestors
            ),
            explain=ExplainService(
                catalog, engine, jobs, Documents(catalog.database), ingestors, embedder, models
            ),
            projects=ProjectService(catalog, projects, engine, defaults, completion, relay),
            project_urls=ProjectUrlService(projects, urls, limits, wake_ingestors),
            project_chunks=ProjectChunkService(projects, urls, engine, embedder),
            project_shares=ProjectShareService(projects, shares, accounts),
            server_status=ServerStatusService(
                urls,
                machine,
                embedding=None if model is None else Embedding(model, chunking),
                probe=None if model is None else ModelProbe(embedder, model.name),
                ingestors=ingestors,
            ),
            authenticator=Authenticator(accounts, keys, tokens, key_use, catalog.database.new_cache()),
            catalog=catalog,
            engine=engine,
            completion=completion,
            key_use=key_use,
            query_counts=query_counts,
            job_watch=job_watch,
            upload_sweep=upload_sweep,
            ingestion_watch=ingestion_watch,
            events=events,
            event_streams=EventStreamService(events, streams),
            relay=relay,
        )

    async def close(self) -> None:
        """Let what must not stop halfway end, then release the engine and the catalog."""
        await self.completion.wait()
        await self.upload_sweep.close()
        await self.ingestion_watch.close()
        await self.job_watch.close()
        await self.relay.close()
        await self.events.feed.close()
        await self.engine.close()
        await self.key_use.close()
        await self.query_counts.close()
        await self.accounts.passwords.close()
        await self.counters.close()
        await self.catalog.dispose()


class ServicesOnDemand:
    """Opens the services once, at the server's start or at the first request, whichever comes first.

    Building an application needs no event loop this way. When opening fails, the next request tries again.
    """

    def __init__(self, open_services: Callable[[], Awaitable[Services]]) -> None:
        self._open_services = open_services
        self._opening: asyncio.Task[Services] | None = None
        self.opened: Services | None = None
        """The services, once they are there: what `get` returns, without waiting."""

    async def get(self) -> Services:
        """The services.

        Raises:
            Unavailable: They cannot be opened now.
        """
        if self._opening is None or _failed(self._opening):
            # Not the first caller's to cancel: others wait for it too.
            loop = asyncio.get_running_loop()
            self._opening = loop.create_task(self._open(), context=contextvars.Context())
        self.opened = await asyncio.shield(self._opening)
        return self.opened

    async def close(self) -> None:
        """Close the services if they are open."""
        opening, self._opening, self.opened = self._opening, None, None
        if opening is None:
            return
        await asyncio.wait([opening])
        if not _failed(opening):
            await opening.result().close()

    async def _open(self) -> Services:
        try:
            return await self._open_services()
        except VectorayError:
            raise
        except Exception as error:
            _log.exception("services_not_opened")
            raise Unavailable("The server is not ready.") from error


def _failed(task: asyncio.Task[Services]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
