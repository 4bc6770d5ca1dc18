"""What a caller may do to a project, method by method; none may be left out."""

import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from cluster.engine import Engine
from serve.auth import Principal, token_holder
from serve.machine import Machine
from serve.service.completion import Completion
from serve.service.event_relay import EventRelay
from serve.service.ingestors import Ingestors
from serve.service.limits import CollectionDefaults, Limits
from serve.service.project_chunks import ProjectChunkService
from serve.service.project_shares import ProjectShareService
from serve.service.project_urls import ProjectUrlService
from serve.service.projects import ProjectService
from serve.service.search import TextEmbedder
from serve.service.server_status import Embedding, ModelProbe, ServerStatusService
from storage.catalog import Accounts, Catalog, Projects, ProjectShares, ProjectUrls, Workers
from tests.unit.serve.service.untouched import Reached, UntouchedEngine
from tests.unit.storage.catalog.test_project_urls import new
from tests.unit.storage.catalog.test_projects import TOKEN, ann, bob, catalog, made, share
from vectoray.core.accounts import Scope, User
from vectoray.core.errors import PermissionDenied, ProjectNotFound, VectorayError
from vectoray.core.ingestion import Chunking
from vectoray.embedding import ModelInfo

__all__ = ["ann", "bob", "catalog"]

MODEL = ModelInfo("m", "tests", dimension=3, max_tokens=8)
P, U, C = "the project", "the URL", str(uuid4())
Methods = dict[type, dict[str, tuple[Any, ...]]]
Case = tuple[type, str, tuple[Any, ...]]

# Service -> method -> what it is called with after the caller.
READS: Methods = {
    ProjectService: {"get": (P,)},
    ProjectUrlService: {"of_project": (P, None), "get": (P, U)},
    ProjectChunkService: {"of_url": (P, U), "query": ("a", [P]), "read": (P, C)},
}
CHANGES: Methods = {
    ProjectUrlService: {
        "submit": (P, "http://b/"),
        "submit_many": (P, ["http://b/"]),
        "reprocess": (P, U),
    },
    ProjectShareService: {
        "create": (P, None),
        "of_project": (P,),
        "delete": (P, str(uuid4())),
    },
    ProjectService: {"rename": (P, "new"), "delete": (P,)},
}
OWN_READS: Methods = {
    ProjectService: {"list": (), "readable": ()},
    ProjectShareService: {"shared_with_caller": ()},
}
OWN_CHANGES: Methods = {ProjectService: {"create": ("new",)}}
OF_THE_SERVER: Methods = {ServerStatusService: {"model": (), "status": ()}}
FOR_EVERYBODY: Methods = {ProjectShareService: {"open": ()}}
OPTIONS = {"query": {"top_k": 1}, "read": {"around": 1}, "readable": {"skip": 0, "limit": 1}}
TABLES = (READS, CHANGES, OWN_READS, OWN_CHANGES, OF_THE_SERVER, FOR_EVERYBODY)
SERVICES = {service for table in TABLES for service in table}


class World:
    """Services over a catalog with a project of Ann's, which is shared with Bob and by a token."""

    def __init__(self, catalog: Catalog, ids: dict[str, str], tmp_path: Path) -> None:
        self._ids = ids
        engine, embedder = cast("Engine", UntouchedEngine()), cast("TextEmbedder", UntouchedEngine())
        projects, urls = Projects(catalog.database), ProjectUrls(catalog.database)
        shares, accounts = ProjectShares(catalog.database), Accounts(catalog.database)
        defaults = CollectionDefaults(embedding_model=MODEL)
        self._services: dict[type, object] = {
            ProjectService: ProjectService(
                catalog, projects, engine, defaults, Completion(), cast("EventRelay", engine)
            ),
            ProjectUrlService: ProjectUrlService(projects, urls, Limits(), lambda: None),
            ProjectChunkService: ProjectChunkService(projects, urls, engine, embedder),
            ProjectShareService: ProjectShareService(projects, shares, accounts),
            ServerStatusService: ServerStatusService(
                urls,
                Machine(tmp_path),
                Embedding(MODEL, Chunking()),
                ModelProbe(embedder, "m"),
                Ingestors(Workers(catalog.database), expected=False),
            ),
        }

    async def call(self, case: Case, caller: Principal) -> None:
        """Call a method; that it gets as far as the engine is as good as an answer."""
        service, name, arguments = case
        method: Callable[..., Awaitable[Any]] = getattr(self._services[service], name)
        options = OPTIONS.get(name, {})
        with suppress(Reached):
            await method(caller, *map(self._own, arguments), **options)

    def _own(self, value: Any) -> Any:
        return [self._own(one) for one in value] if isinstance(value, list) else self._ids.get(value, value)


def cases(*tables: Methods) -> list[Case]:
    return [
        (service, name, arguments)
        for table in tables
        for service, methods in table.items()
        for name, arguments in methods.items()
    ]


@pytest.fixture
async def world(catalog: Catalog, ann: User, bob: User, tmp_path: Path) -> World:
    project, _ = await made(catalog, ann)
    page = new(project)
    await ProjectUrls(catalog.database).submit(project.id, [page], most=9)
    for one in (share(project, with_user=bob), share(project, token=TOKEN)):
        await ProjectShares(catalog.database).add(one)
    return World(catalog, {P: project.id, U: page.id}, tmp_path)


def everything(service: type) -> set[str]:
    return {name for table in TABLES for name in table.get(service, {})}


@pytest.mark.parametrize(
    "service",
    [ProjectService, ProjectUrlService, ProjectChunkService, ProjectShareService, ServerStatusService],
)
def test_every_method_is_known_here(service: type) -> None:
    found = inspect.getmembers(service, inspect.iscoroutinefunction)
    assert {name for name, _ in found if not name.startswith("_")} == everything(service)


async def not_refused(
    world: World, tables: tuple[Methods, ...], caller: Principal, error: type[VectorayError]
) -> list[str]:
    """The methods that let the caller do something."""
    passed = []
    for case in cases(*tables):
        try:
            await world.call(case, caller)
        except error:
            continue
        passed.append(f"{case[0].__name__}.{case[1]}")
    return passed


async def test_a_key_for_reading_reads_and_changes_nothing(world: World, ann: User) -> None:
    reader = Principal(ann.id, scopes=frozenset((Scope.READ,)))
    for case in cases(READS, OWN_READS, OF_THE_SERVER):
        await world.call(case, reader)
    assert await not_refused(world, (CHANGES, OWN_CHANGES), reader, PermissionDenied) == []


async def test_a_key_for_some_collections_has_no_projects(world: World, ann: User) -> None:
    limited = Principal(ann.id, collections=frozenset(("c",)))
    everything = (READS, CHANGES, OWN_READS, OWN_CHANGES)
    assert await not_refused(world, everything, limited, PermissionDenied) == []


async def test_a_share_reads_and_changes_nothing(world: World, bob: User) -> None:
    for reader in (Principal(bob.id), token_holder(TOKEN), Principal(str(uuid4()), share_token=TOKEN)):
        for case in cases(READS):
            await world.call(case, reader)
        assert await not_refused(world, (CHANGES,), reader, PermissionDenied) == []


async def test_for_everybody_else_the_project_is_not_there(world: World) -> None:
    stranger = Principal(str(uuid4()))
    for caller in (stranger, replace(stranger, is_admin=True), replace(stranger, share_token="wrong")):
        assert await not_refused(world, (READS, CHANGES), caller, ProjectNotFound) == []
