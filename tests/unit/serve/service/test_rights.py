"""Every method of the services that a caller reaches: what a key for reading may do, and what not."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast, get_type_hints

import numpy as np
import pytest

from cluster.engine import Engine
from serve.auth import Principal
from serve.event_feed import EventFeed
from serve.job_watch import JobWatch
from serve.query_counts import QueryCounts
from serve.service.accounts import AccountService
from serve.service.api_keys import ApiKeyService, KeyChange
from serve.service.collections import CollectionService, NewCollection
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
from serve.service.ownership import ByName
from serve.service.passages import PassageService
from serve.service.points import NewPoints, PointChange, PointService
from serve.service.search import HybridRequest, SearchRequest, SearchService, TextEmbedder
from serve.service.sign_in import SignInService
from serve.service.sources import SourceService
from serve.service.statistics import StatisticsService
from serve.service.system import SystemService
from serve.service.uploads import IncomingFile, UploadService
from serve.services import Services
from storage.blobs import Blobs
from storage.catalog import ApiKeys, Catalog, Documents, Jobs, QueryStatistics, Uploads, Workers
from tests.unit.serve.service import test_project_rights
from tests.unit.serve.service.untouched import Reached, UntouchedEngine
from tests.unit.storage.catalog.test_catalog import collection, made
from vectoray.core.accounts import Scope
from vectoray.core.errors import PermissionDenied
from vectoray.core.filters import Eq
from vectoray.core.ingestion import Chunking, ChunkingOverrides
from vectoray.core.model import Metric

READER = Principal("ann", scopes=frozenset((Scope.READ,)))
DOCS = ByName("docs")
VECTOR = np.ones(3, dtype=np.float32)
JOB = "00000000-0000-0000-0000-000000000001"
POINTS = NewPoints(["a"], VECTOR[None], [b"{}"], [None])


@pytest.fixture
async def catalog(database_url: str) -> AsyncIterator[Catalog]:
    opened = await Catalog.open(database_url)
    await made(opened, collection(owner="ann"))
    yield opened
    await opened.dispose()


READS: dict[type, dict[str, tuple[Any, ...]]] = {
    CollectionService: {"describe": (DOCS,), "page": ()},
    PointService: {"get": (DOCS, "a"), "page": (DOCS,), "export": (DOCS,)},
    PassageService: {"read": (DOCS, "a")},
    SearchService: {
        "search": (DOCS, SearchRequest(vector=VECTOR)),
        "hybrid": (DOCS, HybridRequest(vector=VECTOR)),
    },
    StatisticsService: {"of_collection": (DOCS,), "overview": (), "activity": (7,)},
    SystemService: {"connections": ()},
    SourceService: {},
    ApiKeyService: {},
    ItemService: {},
    UploadService: {},
    JobService: {"get": (JOB,), "page": (), "follow": (JOB,), "points": (JOB,)},
    ExplainService: {"explain": (DOCS, "a.pdf")},
    EventService: {"follow": (0,)},
    EventStreamService: {"open": (0,)},
}
WRITES: dict[type, dict[str, tuple[Any, ...]]] = {
    CollectionService: {
        "create": (NewCollection("new", 3, Metric.COSINE),),
        "drop": (DOCS,),
        "optimize": (DOCS,),
        "change": (DOCS,),
    },
    PointService: {
        "upsert": (DOCS, POINTS),
        "insert": (DOCS, POINTS),
        "update": (DOCS, "a", PointChange()),
        "delete": (DOCS, "a"),
        "delete_many": (DOCS, ["a"]),
        "delete_matching": (DOCS, Eq(("a",), 1)),
    },
    PassageService: {},
    SourceService: {"delete": (DOCS, "a.pdf"), "merge": (DOCS, "a.pdf", {})},
    SearchService: {},
    EventService: {},
    StatisticsService: {},
    SystemService: {},
    ExplainService: {},
    ItemService: {"upsert": (DOCS, POINTS), "delete": (DOCS, ["a"])},
    EventStreamService: {},
    ApiKeyService: {
        "list": (),
        "create": ("k", {}, None),
        "change": ("00000000-0000-0000-0000-000000000001", KeyChange(name="k")),
        "revoke": ("00000000-0000-0000-0000-000000000001",),
    },
    UploadService: {"accept": (cast("IncomingFile", None),)},
    JobService: {
        "create": (DOCS, JOB, Chunking()),
        "cancel": (JOB,),
        "retry": (JOB,),
        "reingest": (JOB, ChunkingOverrides()),
    },
}
# Who one is, and how much one sees of what `CollectionService` shows: no credential is too narrow for that.
OF_ONESELF: set[type] = {AccountService, SignInService, HealthService}
# The same for everybody, whoever asks.
ABOUT_THE_SERVER: dict[type, set[str]] = {SystemService: {"info"}}
OPTIONS: dict[tuple[type, str], dict[str, Any]] = {
    (PointService, "page"): {"limit": 1},
    (PassageService, "read"): {"around": 1},
    (CollectionService, "change"): {"name": "k", "description": None},
    (JobService, "page"): {"limit": 1},
    (JobService, "points"): {"skip": 0, "limit": 1},
}


def method(service: type, name: str, catalog: Catalog) -> Callable[..., Awaitable[Any]]:
    engine = cast("Engine", UntouchedEngine())
    limits = Limits()
    relay = cast("EventRelay", UntouchedEngine())
    collections = CollectionService(catalog, engine, limits, CollectionDefaults(), Completion(), [], relay)
    events = EventService(cast("EventFeed", UntouchedEngine()))
    services: dict[type, object] = {
        CollectionService: collections,
        PointService: PointService(catalog, engine, limits),
        PassageService: PassageService(PointService(catalog, engine, limits)),
        SourceService: SourceService(catalog, engine),
        SearchService: SearchService(
            catalog, engine, cast("TextEmbedder", engine), [], cast("QueryCounts", engine)
        ),
        StatisticsService: StatisticsService(
            collections, QueryStatistics(catalog.database), cast("QueryCounts", engine)
        ),
        SystemService: SystemService(
            collections, [], limits, Ingestors(Workers(catalog.database), expected=False)
        ),
        EventService: events,
        EventStreamService: EventStreamService(events, OpenStreams(1)),
        ApiKeyService: ApiKeyService(ApiKeys(catalog.database)),
        ItemService: ItemService(catalog, engine, limits),
        UploadService: UploadService(
            catalog, Uploads(catalog.database), cast("Blobs", UntouchedEngine()), limits, Completion()
        ),
        JobService: JobService(
            catalog,
            engine,
            Uploads(catalog.database),
            jobs := cast("Jobs", UntouchedEngine()),
            JobWatch(jobs),
            OpenStreams(1),
            [],
            Ingestors(Workers(catalog.database), expected=False),
            lambda: None,
        ),
        ExplainService: ExplainService(
            catalog,
            engine,
            jobs,
            Documents(catalog.database),
            Ingestors(Workers(catalog.database), expected=False),
            cast("TextEmbedder", engine),
            [],
        ),
    }
    found: Callable[..., Awaitable[Any]] = getattr(services[service], name)
    return found


def cases(table: dict[type, dict[str, tuple[Any, ...]]]) -> list[Any]:
    return [
        pytest.param(service, name, arguments, id=f"{service.__name__}.{name}")
        for service, methods in table.items()
        for name, arguments in methods.items()
    ]


def test_every_service_is_known_here() -> None:
    services = {hint for hint in get_type_hints(Services).values() if str(hint).endswith("Service'>")}
    assert services == READS.keys() | OF_ONESELF | test_project_rights.SERVICES


@pytest.mark.parametrize("service", READS)
def test_every_method_is_known_here(service: type) -> None:
    methods = {
        name for name, _ in inspect.getmembers(service, inspect.isfunction) if not name.startswith("_")
    }
    assert methods == READS[service].keys() | WRITES[service].keys() | ABOUT_THE_SERVER.get(service, set())


@pytest.mark.parametrize(("service", "name", "arguments"), cases(READS))
async def test_a_key_for_reading_reads(
    catalog: Catalog, service: type, name: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(Reached):
        await method(service, name, catalog)(READER, *arguments, **OPTIONS.get((service, name), {}))


@pytest.mark.parametrize(("service", "name", "arguments"), cases(WRITES))
async def test_a_key_for_reading_changes_nothing(
    catalog: Catalog, service: type, name: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(PermissionDenied):
        await method(service, name, catalog)(READER, *arguments, **OPTIONS.get((service, name), {}))
