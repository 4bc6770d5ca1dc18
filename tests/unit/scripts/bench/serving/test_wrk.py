"""The script that wrk gets, what is read from its result, and wrk itself where there is one."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.bench.serving import wrk

_RESULT = {
    "requests": 100,
    "duration_us": 2_000_000,
    "failed": 10,
    "broken": 2,
    "p50_us": 1500.0,
    "p90_us": 2500.0,
    "p99_us": 9000.0,
    "max_us": 12_000.0,
    "statuses": {},
}


def test_only_good_answers_make_the_rate() -> None:
    drive = wrk.parse_result(_RESULT)
    assert drive.rate == 45
    assert (drive.p50_ms, drive.p90_ms, drive.p99_ms, drive.max_ms) == (1.5, 2.5, 9, 12)
    assert drive.statuses == {200: 90, 0: 10}
    assert drive.refused == 12


def test_statuses_are_told_apart_where_they_were_counted() -> None:
    drive = wrk.parse_result({**_RESULT, "statuses": {"200": 60, "201": 10, "429": 20, "503": 10}})
    assert drive.rate == 35
    assert drive.statuses == {200: 60, 201: 10, 429: 20, 503: 10}


def test_every_name_in_the_script_is_quoted(tmp_path: Path) -> None:
    requests = wrk.Requests("http://127.0.0.1:1/a/b?c=d", tmp_path / 'a "quoted" name.jsonl', start=7)
    script = wrk.lua_script(requests, tmp_path / "result.json", count_statuses=False)
    assert 'wrk.format(nil, "/a/b?c=d", nil, line)' in script
    assert r"a \"quoted\" name.jsonl" in script
    assert "function response" not in script
    assert "function response" in wrk.lua_script(requests, tmp_path / "r", count_statuses=True)


@dataclass
class _Server:
    url: str
    bodies: list[bytes] = field(default_factory=list)
    types: Counter[str | None] = field(default_factory=Counter)


@pytest.fixture
def server() -> Iterator[_Server]:
    """Answers 200, and 503 to a body that says so."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.bodies.append(body)
            seen.types[self.headers["Content-Type"]] += 1
            self.send_response(503 if b"busy" in body else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        seen = _Server(f"http://127.0.0.1:{http.server_address[1]}/search")
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield seen
        http.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.skipif(not wrk.is_installed(), reason="wrk is not installed")
def test_bodies_are_sent_in_turn_and_answers_counted_by_status(server: _Server, tmp_path: Path) -> None:
    bodies = [json.dumps({"number": number}).encode() for number in range(3)] + [b'{"state": "busy"}']
    requests = wrk.Requests(server.url, wrk.write_bodies(tmp_path / "bodies.jsonl", bodies))
    drive = wrk.drive(requests.starting(2), connections=1, seconds=1, count_statuses=True)
    assert server.bodies[:5] == [bodies[2], bodies[3], bodies[0], bodies[1], bodies[2]]
    assert set(server.types) == {"application/json"}
    assert set(drive.statuses) == {200, 503}
    assert drive.statuses[503] == pytest.approx(sum(drive.statuses.values()) / 4, abs=2)
    assert drive.broken == 0
    assert 0 < drive.p50_ms <= drive.p99_ms <= drive.max_ms


@pytest.mark.slow
@pytest.mark.skipif(not wrk.is_installed(), reason="wrk is not installed")
def test_without_a_server_wrk_says_why_it_failed(tmp_path: Path) -> None:
    requests = wrk.Requests("http://127.0.0.1:1/", wrk.write_bodies(tmp_path / "bodies.jsonl", [b"{}"]))
    with pytest.raises(RuntimeError, match="wrk ended with status"):
        wrk.drive(requests, connections=1, seconds=1)
