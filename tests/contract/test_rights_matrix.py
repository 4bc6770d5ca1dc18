"""Who may do what: every operation of every family's document, asked for by everybody who may come.

What is expected follows from rules, so that an operation which is new is judged by them the day it appears.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from starlette.types import ASGIApp

from serve.app import SURFACES, build_app
from serve.settings import ServeSettings
from tests.contract.conftest import running
from tests.contract.matrix_requests import Operation, filled, operations_of
from tests.contract.matrix_world import COLLECTION_MARK, PRIVATE_MARK, Caller, Kind, Objects, People
from tests.contract.streams import following
from tests.contract.web_site import Open, Opened, Site

OPERATIONS = {surface.name: operations_of(surface) for surface in SURFACES}
SUCCESS = 2
"""Stands for any status of success."""

OPEN = re.compile(
    r"POST /api/auth/\w+|POST /api/v1/users|POST /api/v1/auth/\w+|GET /api/v1/shared-projects/.*"
)
"""Where one proves who one is, becomes somebody, or has the secret in the path."""

SHARED = re.compile(r"GET /api/v1/projects/\{project_id\}/urls(/.*)?|POST /api/v1/projects:query")
"""What a share lets read."""

NOT_CONFIGURED = {"POST /api/v1/auth/google", "POST /api/v1/auth/microsoft"}
"""Answered 400, whoever asks: this server knows no provider."""

SHOWS_SECRETS = {"GET /api/keys", "GET /api/v1/projects/{project_id}/shares"}
"""They only read, but what lets others in: not with a key for reading."""

UPLOADERS_OWN = "POST /api/ingestion/jobs"
"""Ingests what the caller has uploaded, not what others have, whatever the caller's rights: 400."""


@dataclass
class World:
    """A server that answers nobody without a credential, its users, and who makes the owner's objects.

    Attributes:
        ids: Of the owner's objects; None when they may have changed.
    """

    app: ASGIApp
    site: Site
    people: People
    objects: Objects
    ids: dict[str, str] | None = None

    async def ask(self, operation: Operation, caller: Caller) -> tuple[int, str]:
        """The status and the text of what is answered, while the owner's objects are as they were made."""
        ids = self.ids = self.ids or await self.objects.make()
        headers = self.people.headers(caller, ids["token"])
        path = filled(operation.path, ids)
        if operation.streams:
            async with following(self.app, path, headers) as stream:
                return stream.status, ""
        form, body = filled(operation.form, ids), filled(operation.body, ids)
        response = await self.site.client.request(
            operation.method,
            path,
            params=filled(operation.query, ids),
            headers=headers,
            data=form,
            files=None if form is None else {"file": ("new.md", b"abc")},
            json=body if form is None else None,
        )
        if response.is_success and not operation.reads:
            self.ids = None
        return response.status_code, response.text


@pytest.fixture
async def world(settings: ServeSettings, open_services: Open) -> AsyncIterator[World]:
    opened = Opened(open_services)
    app = build_app(settings, open_services=opened, anonymous_allowed=False)
    async with running(app) as client:
        site = Site(client, opened)
        people = await People.sign_up(site)
        yield World(app, site, people, Objects(site, people))


def expected(operation: Operation, caller: Caller) -> int:
    """The status to expect, or `SUCCESS`."""
    if operation.is_open:
        return 400 if operation.name in NOT_CONFIGURED else SUCCESS
    of_admin = 400 if operation.name == UPLOADERS_OWN else SUCCESS
    read_only = operation.reads and operation.name not in SHOWS_SECRETS
    return {
        Caller.ANONYMOUS: 401,
        Caller.SHARE_TOKEN: SUCCESS if operation.opened_by_share else 401,
        Caller.OTHER: 404 if operation.kinds else SUCCESS,
        Caller.READ_KEY: SUCCESS if read_only else 403,
        Caller.OWNER: SUCCESS,
        Caller.ADMIN: 404 if Kind.PRIVATE in operation.kinds else of_admin,
    }[caller]


def unseen(operation: Operation, caller: Caller) -> list[str]:
    """What must be in no answer."""
    if operation.is_open:
        # Whoever asks sends the owner's password, or their token: for this answer they are the owner.
        return []
    return {Caller.OTHER: [COLLECTION_MARK, PRIVATE_MARK], Caller.ADMIN: [PRIVATE_MARK]}.get(caller, [])


def test_no_other_operations_are_open_or_opened_by_a_share() -> None:
    for operation in (one for family in OPERATIONS.values() for one in family):
        assert operation.is_open == bool(OPEN.fullmatch(operation.name)), operation.name
        assert operation.opened_by_share == bool(SHARED.fullmatch(operation.name)), operation.name


@pytest.mark.slow
@pytest.mark.parametrize("caller", Caller)
@pytest.mark.parametrize("family", OPERATIONS)
async def test_everybody_may_do_what_the_rules_say_and_nothing_else(
    world: World, family: str, caller: Caller
) -> None:
    faults = []
    for operation in OPERATIONS[family]:
        status, text = await world.ask(operation, caller)
        wanted = expected(operation, caller)
        if wanted not in (status, status // 100):
            faults.append(f"{operation.name}: {status}, not {wanted}: {text[:200]}")
        if status // 100 == SUCCESS:
            faults += [
                f"{operation.name}: shows {mark}" for mark in unseen(operation, caller) if mark in text
            ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("family", OPERATIONS)
async def test_the_owner_sees_what_others_are_not_to_see(world: World, family: str) -> None:
    """Without this, that the others do not see it would say nothing."""
    answers = [
        (await world.ask(operation, Caller.OWNER))[1]
        for operation in OPERATIONS[family]
        if operation.method == "GET" and not operation.is_open
    ]
    mark = PRIVATE_MARK if family == "webcontent" else COLLECTION_MARK
    assert sum(mark in text for text in answers) >= 3
