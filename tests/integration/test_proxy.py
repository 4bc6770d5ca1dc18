"""The bundled HAProxy, on the configuration that the installed Ray Serve renders, started by our launcher.

The gateways are small servers in this process; no Ray runs.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from ray.serve._private import constants
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions

from cluster.ports import free_port
from cluster.proxy.folder import ProxyFolder, proxy_folder
from cluster.proxy.rewrite import STEERING_HEADERS, STEERING_PREFIX
from cluster.settings import ClusterSettings

Met = tuple[int, str | None, bytes]
"""Status, Retry-After and body of an answer."""

SETTINGS = ClusterSettings(gateway_concurrency=2, gateway_queue_length=4, gateway_queue_timeout_s=20)
START_S = 20


class Gateway:
    """A server that answers as its ``answer`` says, and remembers what it was sent."""

    def __init__(self) -> None:
        gateway = self
        self.requests: list[tuple[str, dict[str, str], int]] = []
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: reply(handler, b"{}")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/-/healthz":
                    reply(self, b"ok")
                    return
                size = len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                gateway.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, size))
                with gateway._lock:
                    gateway.at_once += 1
                    gateway.most_at_once = max(gateway.most_at_once, gateway.at_once)
                try:
                    gateway.answer(self)
                finally:
                    with gateway._lock:
                        gateway.at_once -= 1

            do_POST = do_DELETE = do_PUT = do_PATCH = do_GET  # noqa: N815  (the base class calls it so)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def reply(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def die(handler: BaseHTTPRequestHandler) -> None:
    """End the connection without a word, as a process does that is killed."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


@dataclass
class Proxy:
    """HAProxy as it runs."""

    port: int
    folder: ProxyFolder
    config: Path
    process: "subprocess.Popen[bytes]"
    gateways: list[Gateway] = field(default_factory=list)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()


def render(config: Path, port: int, gateway_ports: list[int]) -> None:
    """What the installed Ray Serve writes for its HAProxy."""
    servers = [
        ServerConfig(name=f"gateway-{number}", host="127.0.0.1", port=at, replica_id=f"gateway-{number}")
        for number, at in enumerate(gateway_ports)
    ]
    backend = BackendConfig(name="http-gateway", path_prefix="/", app_name="gateway", servers=servers)
    haproxy = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=port, keep_alive_timeout_s=75),
        socket_path=str(config.parent / "s"),
        server_state_base=str(config.parent),
        server_state_file=str(config.parent / "server-state"),
        retry_on="conn-failure empty-response",
        health_check_inter="2s",
        metrics_enabled=False,
        nbthread=1,
        is_head=True,
    )
    backends = {backend.name: backend} if servers else {}
    api = HAProxyApi(cfg=haproxy, backend_configs=backends, config_file_path=str(config))
    api._generate_config_file_internal()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[ProxyFolder]:
    with proxy_folder(tmp_path / "proxy") as made:
        yield made


@pytest.fixture
def start(folder: ProxyFolder) -> Iterator[Callable[..., Proxy]]:
    """Starts HAProxy over so many gateways, with these settings."""
    stop: list[Callable[[], object]] = []

    def start(count: int, settings: ClusterSettings = SETTINGS) -> Proxy:
        gateways = [Gateway() for _ in range(count)]
        stop.extend(gateway.close for gateway in gateways)
        port, config = free_port(0), folder.path / "haproxy.cfg"
        render(config, port, [gateway.port for gateway in gateways])
        folder.impose(f"127.0.0.1:{port}", settings, request_timeout_s=30, loopback_only=True)
        command = [folder.variables()["RAY_SERVE_HAPROXY_BINARY_PATH"], "-db", "-f", str(config), "-dR"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        stop.insert(0, process.wait)
        stop.insert(0, process.kill)
        proxy = Proxy(port, folder, config, process, gateways)
        wait_until(lambda: answers(port))
        return proxy

    yield start
    for step in stop:
        step()


def queued(proxy: Proxy) -> int:
    """How many requests wait for the gateways, as HAProxy's private socket tells."""
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(str(proxy.config.parent / "s"))
        admin.sendall(b"show stat\n")
        table = b"".join(iter(lambda: admin.recv(65536), b"")).decode().splitlines()
    rows = [dict(zip(table[0].lstrip("# ").split(","), row.split(","), strict=False)) for row in table[1:]]
    return sum(int(row["qcur"] or 0) for row in rows if row.get("svname") == "BACKEND")


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + START_S
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_haproxy_listens_on_its_address_alone_and_keeps_its_arguments(start: Callable[..., Proxy]) -> None:
    proxy = start(1)
    process = psutil.Process(proxy.process.pid)
    listening = {tuple(c.laddr) for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", proxy.port)}
    # By these Ray Serve tells its own HAProxy from others.
    assert process.name() == "haproxy"
    assert process.cmdline()[1:] == ["-db", "-f", str(proxy.config), "-dR"]
    assert (proxy.config.parent / "s").stat().st_mode & 0o777 == 0o600
    assert proxy.folder.path.stat().st_mode & 0o777 == 0o700


def test_a_caller_cannot_steer_ray_serve(start: Callable[..., Proxy]) -> None:
    proxy = start(1)
    steering = dict.fromkeys([*STEERING_HEADERS, f"{STEERING_PREFIX}x"], "1")
    proxy.ask("GET", "/a", headers=steering | {"x-other": "kept"})
    (_, headers, _) = proxy.gateways[0].requests[0]
    # By the one that is left, HAProxy says itself that nobody need watch for clients that leave.
    assert {name: value for name, value in headers.items() if name in steering} == {
        "x-request-disconnect-disabled": "?1"
    }
    assert headers["x-other"] == "kept"


def test_ray_serve_has_no_steering_headers_that_are_not_removed() -> None:
    theirs = {
        constants.SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER,
        constants.SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER,
        constants.SERVE_SESSION_ID,
        constants.SERVE_MULTIPLEXED_MODEL_ID,
        constants.SERVE_MULTIPLEXED_MODEL_ID.replace("_", "-"),
        constants.SERVE_HTTP_REQUEST_ID_HEADER,
    }
    assert theirs == set(STEERING_HEADERS)
    assert constants.SERVE_INGRESS_ROUTER_HEADER_PREFIX == STEERING_PREFIX


def ask_at_once(
    proxy: Proxy, count: int, until: Callable[[list[Met]], bool], free: threading.Event
) -> list[Met]:
    """Send so many inserts at once; ``free`` is set when ``until`` says so of the answers that have come."""
    met: list[Met] = []

    def ask() -> None:
        response, body = proxy.ask("POST", "/insert", b"{}")
        met.append((response.status, response.getheader("Retry-After"), body))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    wait_until(lambda: until(met))
    free.set()
    for thread in threads:
        thread.join()
    return met


def answer_once(free: threading.Event) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        free.wait(20)
        reply(handler, b"{}")

    return answer


def test_what_exceeds_gateways_and_queue_is_refused_before_what_waits(start: Callable[..., Proxy]) -> None:
    proxy, free = start(2), threading.Event()
    for gateway in proxy.gateways:
        gateway.answer = answer_once(free)
    # Four are worked on, four wait.
    met = ask_at_once(proxy, 20, lambda met: len(met) == 12, free)
    assert {(status, again) for status, again, _ in met[:12]} == {(503, "1")}
    refusal = json.loads(met[0][2])
    assert refusal.keys() == {"error", "code", "details", "detail", "message"}
    assert (refusal["code"], refusal["details"]) == ("SERVICE_UNAVAILABLE", {})
    assert [status for status, _, _ in met[12:]] == [200] * 8
    assert [gateway.most_at_once for gateway in proxy.gateways] == [2, 2]


def test_what_waits_too_long_is_refused(start: Callable[..., Proxy]) -> None:
    free = threading.Event()
    proxy = start(1, SETTINGS.model_copy(update={"gateway_queue_timeout_s": 0.2}))
    proxy.gateways[0].answer = answer_once(free)
    met = ask_at_once(proxy, 5, lambda met: len(met) == 3, free)
    assert [(status, again) for status, again, _ in met] == [(503, "1")] * 3 + [(200, None)] * 2


def test_whether_the_server_is_alive_is_answered_before_all_others(start: Callable[..., Proxy]) -> None:
    proxy, turns, order = start(1), threading.Semaphore(0), list[str]()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        order.append(handler.path)
        turns.acquire(timeout=20)
        reply(handler, b"{}")

    proxy.gateways[0].answer = answer
    threads = [threading.Thread(target=proxy.ask, args=("POST", "/insert", b"{}")) for _ in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(order) == 2 and queued(proxy) == 4)
    # The queue is full, which is no reason to refuse this one.
    threads.append(threading.Thread(target=proxy.ask, args=("GET", "/healthz")))
    threads[-1].start()
    wait_until(lambda: queued(proxy) == 5)
    turns.release()
    wait_until(lambda: len(order) == 3)
    turns.release(len(threads))
    for thread in threads:
        thread.join()
    assert order[2] == "/healthz"


def test_a_request_waits_for_a_gateway_that_becomes_free(start: Callable[..., Proxy]) -> None:
    proxy = start(1)

    def answer_slowly(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.02)
        reply(handler, b"{}")

    proxy.gateways[0].answer = answer_slowly
    met: list[int] = []
    threads = [
        threading.Thread(target=lambda: met.append(proxy.ask("POST", "/insert", b"{}")[0].status))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met == [200] * 5
    assert proxy.gateways[0].most_at_once <= 2


def test_a_search_is_repeated_elsewhere_when_its_gateway_dies_and_an_insert_is_not(
    start: Callable[..., Proxy],
) -> None:
    proxy = start(2)
    died = threading.Event()

    def die_once(handler: BaseHTTPRequestHandler) -> None:
        if died.is_set():
            reply(handler, b"{}")
        else:
            died.set()
            die(handler)

    for gateway in proxy.gateways:
        gateway.answer = die_once
    query = json.dumps({"vector": [0.1234567890123456789] * 384}).encode()
    assert proxy.ask("POST", "/api/v1/collections/a/search", query)[0].status == 200
    assert sum(len(gateway.requests) for gateway in proxy.gateways) == 2

    died.clear()
    response, body = proxy.ask("POST", "/api/v1/collections/a/vectors", b"{}")
    assert (response.status, response.getheader("Retry-After")) == (503, "1")
    assert "may still have been made" in json.loads(body)["error"]
    assert sum(len(gateway.requests) for gateway in proxy.gateways) == 3


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/v1/collections/search"),
        ("DELETE", "/api/v1/collections/a/vectors/search"),
        ("DELETE", "/api/v1/collections/a/vectors/a/search"),
        ("PUT", "/api/v1/collections/a/search"),
        ("PATCH", "/api/v1/collections/a/search"),
        ("POST", "/api/v1/collections?next=/search"),
    ],
)
def test_a_change_whose_path_looks_like_a_search_is_sent_once(
    start: Callable[..., Proxy], method: str, path: str
) -> None:
    proxy = start(2)
    for gateway in proxy.gateways:
        gateway.answer = die
    assert proxy.ask(method, path, b"{}")[0].status == 503
    assert sum(len(gateway.requests) for gateway in proxy.gateways) == 1


def test_a_client_that_names_its_request_in_no_text_is_answered(start: Callable[..., Proxy]) -> None:
    """Ray Serve decodes the name before our code sees the request, and fails."""
    proxy = start(1)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        client.sendall(b"GET /a HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: \xff\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    (_, headers, _) = proxy.gateways[0].requests[0]
    assert "x-request-id" not in headers


def test_without_a_gateway_everything_is_unavailable(start: Callable[..., Proxy]) -> None:
    response, body = start(0).ask("GET", "/api/collections")
    assert (response.status, response.getheader("Content-Type")) == (503, "application/json")
    assert json.loads(body)["code"] == "SERVICE_UNAVAILABLE"


def test_events_arrive_when_they_are_sent(start: Callable[..., Proxy]) -> None:
    proxy = start(1)
    seen = threading.Event()

    def stream(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        handler.wfile.write(b"data: 1\n\n")
        handler.wfile.flush()
        assert seen.wait(10), "the first event was kept until the second"
        handler.wfile.write(b"data: 2\n\n")
        handler.close_connection = True

    proxy.gateways[0].answer = stream
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    connection.request("GET", "/events")
    response = connection.getresponse()
    assert response.read(9) == b"data: 1\n\n"
    seen.set()
    assert response.read() == b"data: 2\n\n"
    connection.close()


STREAMS = ["/v1/stream?since=0", "/v1/%73tream", "/v1/events", "/api/ingestion/jobs/7/progress", "/mcp"]


def test_streams_take_no_places_of_other_requests(start: Callable[..., Proxy]) -> None:
    proxy, ended = start(1), threading.Event()

    def stream_or_answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "POST" or handler.path == "/v1/vector":
            reply(handler, b"{}")
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        handler.wfile.write(b": open\n\n")
        handler.wfile.flush()
        ended.wait(20)
        handler.close_connection = True

    proxy.gateways[0].answer = stream_or_answer
    connections = [http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10) for _ in STREAMS * 2]
    try:
        # Far more than the gateway has places for requests.
        for connection, path in zip(connections, STREAMS * 2, strict=True):
            connection.request("GET", path)
            assert connection.getresponse().read(8) == b": open\n\n"
        statuses = [
            proxy.ask(*request)[0].status for request in (("POST", "/mcp"), ("GET", "/v1/vector")) * 3
        ]
        assert statuses == [200] * 6
        assert queued(proxy) == 0
        assert proxy.gateways[0].most_at_once == len(connections) + 1
    finally:
        ended.set()
        for connection in connections:
            connection.close()


def test_streams_have_a_bound_of_their_own(start: Callable[..., Proxy]) -> None:
    settings = SETTINGS.model_copy(update={"gateway_streams": 1, "gateway_queue_timeout_s": 0.2})
    proxy, free = start(1, settings), threading.Event()
    proxy.gateways[0].answer = answer_once(free)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(proxy.ask, "GET", "/v1/stream")
        wait_until(lambda: proxy.gateways[0].at_once == 1)
        response, body = proxy.ask("GET", "/v1/stream")
        assert (response.status, response.getheader("Retry-After")) == (503, "1")
        assert json.loads(body)["code"] == "SERVICE_UNAVAILABLE"
        free.set()
        assert first.result()[0].status == 200


def test_thirty_megabytes_pass(start: Callable[..., Proxy]) -> None:
    proxy = start(1)
    assert proxy.ask("POST", "/insert", bytes(30 * 2**20))[0].status == 200
    assert proxy.gateways[0].requests[0][2] == 30 * 2**20


def test_a_reload_serves_every_request_and_drops_the_gateway_that_is_gone(
    start: Callable[..., Proxy],
) -> None:
    proxy = start(2)
    render(proxy.config, proxy.port, [proxy.gateways[1].port])
    executable = proxy.folder.variables()["RAY_SERVE_HAPROXY_BINARY_PATH"]
    command = [executable, "-db", "-f", str(proxy.config), "-dR", "-sf", str(proxy.process.pid)]
    successor = subprocess.Popen([*command, "-x", str(proxy.config.parent / "s")], stderr=subprocess.DEVNULL)
    try:
        statuses = []
        while proxy.process.poll() is None:
            statuses.append(proxy.ask("POST", "/insert", b"{}")[0].status)
        before = len(proxy.gateways[0].requests)
        statuses += [proxy.ask("POST", "/insert", b"{}")[0].status for _ in range(20)]
        assert set(statuses) == {200}
        assert len(proxy.gateways[0].requests) == before
    finally:
        successor.kill()
        successor.wait()


def test_a_configuration_that_cannot_be_brought_under_the_rules_is_not_run(folder: ProxyFolder) -> None:
    config = folder.path / "haproxy.cfg"
    config.write_text("defaults\n  mode http\nfrontend a\n  bind :1\nfrontend b\n  bind :2\n")
    folder.impose("127.0.0.1:8000", SETTINGS, request_timeout_s=30, loopback_only=True)
    executable = folder.variables()["RAY_SERVE_HAPROXY_BINARY_PATH"]
    done = subprocess.run([executable, "-db", "-f", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "The HTTP proxy was not started, because Ray Serve's proxy has the frontends ['a', 'b'] where one "
        "was expected.\n"
    )
    assert folder.refusal() == done.stderr.strip()


def test_haproxy_ends_when_who_started_it_is_killed(folder: ProxyFolder) -> None:
    port, config = free_port(0), folder.path / "haproxy.cfg"
    render(config, port, [free_port(0)])
    folder.impose(f"127.0.0.1:{port}", SETTINGS, request_timeout_s=30, loopback_only=True)
    executable = folder.variables()["RAY_SERVE_HAPROXY_BINARY_PATH"]
    program = "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()"
    starter = subprocess.Popen([sys.executable, "-c", program, executable, "-db", "-f", str(config)])
    wait_until(lambda: answers(port))
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    wait_until(lambda: not answers(port))
