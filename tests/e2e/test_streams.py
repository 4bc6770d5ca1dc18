"""Streams of events through the whole server, while gateways are replaced."""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.command import vectoray
from tests.e2e.conftest import RunningServer

pytestmark = pytest.mark.timeout(300)

# What a gateway would wait for a stream that does not end by itself.
GRACE_S = 40


@contextmanager
def stream(running: RunningServer, since: int) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(urlsplit(running.file.api_url).netloc, timeout=60)
    try:
        connection.request("GET", f"/v1/stream?since={since}")
        response = connection.getresponse()
        assert response.status == 200
        assert response.readline() == b": open\n"
        yield response
    finally:
        connection.close()


def next_id(response: http.client.HTTPResponse) -> int:
    """The id of the next event."""
    while line := response.readline():
        if line.startswith(b"id: "):
            return int(line.removeprefix(b"id: "))
    raise EOFError


def test_a_reload_ends_streams_that_go_on_at_another_gateway(running: RunningServer) -> None:
    url = f"{running.file.api_url}/v1/vector/streamed"
    assert httpx.post(url, json={"dim": 2, "metric": "dot"}, trust_env=False).status_code == 200
    with stream(running, 0) as response:
        seen = next_id(response)
        began_s = time.monotonic()
        assert vectoray("reload", "--data-dir", running.data_dir).returncode == 0
        assert time.monotonic() - began_s < GRACE_S
        # To its end, which comes in good order: the client is not told of an error.
        while True:
            try:
                seen = next_id(response)
            except EOFError:
                break
    with stream(running, seen) as response:
        item = {"id": "a", "vector": [1, 2]}
        assert httpx.post(f"{url}/upsert", json=item, trust_env=False).status_code == 200
        assert next_id(response) > seen
