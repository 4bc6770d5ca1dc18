"""Batches reach a server that refuses some of them."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scripts.bench.serving.loading import send_all
from scripts.bench.serving.rest import Refused


@dataclass
class _Server:
    url: str
    refusals: list[int] = field(default_factory=list)
    stored: list[bytes] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[_Server]:
    """Answers with the statuses in `refusals` first."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                status = seen.refusals.pop()
            except IndexError:
                status = 201
                seen.stored.append(body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        seen = _Server(f"http://127.0.0.1:{http.server_address[1]}")
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield seen
        http.shutdown()
        thread.join()


def test_what_was_refused_as_overload_is_sent_again(server: _Server) -> None:
    server.refusals = [503, 429]
    bodies = [str(number).encode() for number in range(10)]
    assert send_all(server.url, "/insert", bodies) > 0
    assert sorted(server.stored) == sorted(bodies)


def test_any_other_refusal_ends_the_load(server: _Server) -> None:
    server.refusals = [400]
    with pytest.raises(Refused, match="status 400") as raised:
        send_all(server.url, "/insert", [b"{}"])
    assert raised.value.status == 400
