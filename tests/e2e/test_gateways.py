"""What clients meet while gateways are replaced, killed and given other settings."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import psutil
import pytest

from tests.e2e.command import vectoray
from tests.e2e.conftest import RunningServer
from tests.e2e.load import Load, load

pytestmark = pytest.mark.timeout(300)

VECTORS = "/api/v1/collections/probe/vectors"
SEARCH = "/api/v1/collections/probe/search"


@contextmanager
def clients(running: RunningServer) -> Iterator[tuple[Load, Load]]:
    """Clients that search and clients that write, on connections they keep and on new ones."""
    url = running.file.api_url
    point = {"vectors": [{"id": "same", "vector": [1.0, 2.0, 3.0, 4.0]}]}
    query = {"vector": [1.0, 2.0, 3.0, 4.0], "limit": 1}
    with (
        load(url, VECTORS, point, keep_alive=2, anew=1) as writes,
        load(url, SEARCH, query, keep_alive=3, anew=2) as searches,
    ):
        yield searches, writes


def gateways(running: RunningServer) -> list[psutil.Process]:
    return [one for one in running.processes() if "ServeReplica:gateway" in "".join(one.cmdline())]


def reload(running: RunningServer) -> tuple[int, str]:
    done = vectoray("reload", "--data-dir", running.data_dir)
    return done.returncode, done.stdout + done.stderr


def test_no_request_fails_while_all_gateways_are_replaced(running: RunningServer) -> None:
    before = {process.pid for process in gateways(running)}
    assert len(before) >= 2
    with clients(running) as (searches, writes):
        searches.wait_for(100)
        assert reload(running)[0] == 0
        searches.wait_for(100)
    assert not before & {process.pid for process in gateways(running)}
    assert (set(searches.outcomes()), set(writes.outcomes())) == ({"200"}, {"201"})


def test_a_gateway_that_is_killed_costs_searches_nothing_and_writes_a_moment(
    running: RunningServer,
) -> None:
    with clients(running) as (searches, writes):
        searches.wait_for(100)
        victim = gateways(running)[0]
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait(10)
        searches.wait_for(300)
    # An answer of which the client has the beginning cannot be asked for again by anybody but the client.
    cut_off = searches.failures()
    assert len(cut_off) <= 1
    assert {answer.outcome for answer in cut_off} <= {"IncompleteRead"}
    # Only writes that the gateway had got, or that came while the kernel was still taking it apart: nobody
    # knows whether they were made. On a connection that was used before, HAProxy closes it then, as HTTP has
    # it.
    failed = writes.failures()
    assert len(failed) <= 12
    assert writes.failing_s() < 1
    assert {answer.outcome for answer in failed} <= {"503", "RemoteDisconnected"}
    refused = [answer for answer in failed if answer.outcome == "503"]
    assert all(b"SERVICE_UNAVAILABLE" in answer.body and answer.retry_after == "1" for answer in refused)


def test_haproxy_that_is_killed_is_started_again(running: RunningServer) -> None:
    # With those of earlier configurations that still serve their last connections.
    victims = [one for one in running.processes() if one.name() == "haproxy"]
    assert victims
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    psutil.wait_procs(victims, timeout=10)
    url, deadline_s = f"{running.file.api_url}/healthz", time.monotonic() + 60
    while not answers(url):
        assert time.monotonic() < deadline_s, "HAProxy was not started again"
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_reloading_gives_the_gateways_their_new_settings(running: RunningServer) -> None:
    too_large = {"vectors": [{"id": "large", "vector": [1, 2, 3, 4], "payload": {"text": "x" * 3000}}]}
    url = f"{running.file.api_url}{VECTORS}"
    assert httpx.post(url, json=too_large, trust_env=False).status_code == 201
    running.change("serve", max_body_bytes=2048)
    assert reload(running)[0] == 0
    assert httpx.post(url, json=too_large, trust_env=False).status_code == 413
    running.change("serve")
    assert reload(running)[0] == 0
    assert httpx.post(url, json=too_large, trust_env=False).status_code == 201


@pytest.mark.parametrize(
    ("section", "values", "sentence"),
    [
        ("storage", {"seal_rows": 5}, "cannot change while the server runs: storage.seal_rows."),
        ("serve", {"max_body_bytes": -1}, "serve.max_body_bytes"),
    ],
)
def test_what_cannot_be_reloaded_is_refused_and_the_server_goes_on(
    running: RunningServer, section: str, values: dict[str, object], sentence: str
) -> None:
    before = {process.pid for process in gateways(running)}
    running.change(section, **values)
    returncode, said = reload(running)
    running.change("serve")
    assert (returncode, sentence in said) == (2, True), said
    assert {process.pid for process in gateways(running)} == before
    assert httpx.get(f"{running.file.api_url}/healthz", trust_env=False).status_code == 200
