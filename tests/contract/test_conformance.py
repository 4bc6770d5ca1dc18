"""Every operation of every family against its OpenAPI document: whatever is sent, the answer is in it.

Schemathesis makes requests of the document, good ones and bad ones. Half of them ask for what exists.
"""

import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serve.app import SURFACES, build_app
from serve.event_stream import EVENT_STREAM_TYPE
from serve.services import Services
from serve.settings import ServeSettings
from serve.surface import Surface, document_of, mount
from tests.contract.seed import Seeded, seed

Open = Callable[[], Awaitable[Services]]

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 40


@dataclass(frozen=True)
class Server:
    """The app of the contract tests, over a socket."""

    url: str
    seeded: Seeded


@pytest.fixture
def server(settings: ServeSettings, open_services: Open) -> Iterator[Server]:
    app = build_app(settings, open_services=open_services, anonymous_allowed=True)
    # A port of the system's choice; what it logs is nobody's.
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        while not running.started:
            thread.join(0.01)
            assert thread.is_alive()
        port = running.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        yield Server(url, seed(url))
    finally:
        running.should_exit = True
        thread.join()


def operations(surface: Surface) -> list[Any]:
    """The operations of a family, as parameters of a test."""
    document = document_of(surface, mount(surface, anonymous_allowed=True)[1])
    found: list[Any] = []
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        # A stream has no end that could be waited for.
        answer = operation.definition.raw["responses"].get("200", {})
        if EVENT_STREAM_TYPE not in answer.get("content", {}):
            found.append(operation)
    return [pytest.param(one, id=f"{surface.name}: {one.label}") for one in found]


def requests_of(operation: Any, seeded: Seeded) -> st.SearchStrategy[Any]:
    """Good requests and bad ones, half of them for what exists."""
    parameters = list(operation.iter_parameters())
    names = {parameter.name for parameter in operation.path_parameters}
    existing = {name: seeded.ids[name] for name in names & seeded.ids.keys()}
    modes = list(GenerationMode) if parameters or operation.body else [GenerationMode.POSITIVE]
    return st.one_of(
        [
            operation.as_strategy(generation_mode=mode, **given)
            for mode in modes
            for given in ({}, {"path_parameters": existing} if existing else {})
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("operation", [one for surface in SURFACES for one in operations(surface)])
def test_every_answer_is_one_that_the_document_names(server: Server, operation: Any) -> None:
    @settings(
        max_examples=EXAMPLES,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests_of(operation, server.seeded))
    def ask(case: Case[Any]) -> None:
        headers = {"authorization": f"Bearer {server.seeded.token}"}
        response = case.call(base_url=server.url, headers=headers, timeout=10)
        case.validate_response(response, checks=CHECKS)

    ask()
