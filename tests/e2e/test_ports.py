"""Every port that a server opens is on loopback or documented, and what the documents say of it is true."""

import re
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx
import psutil
import pytest

from tests.e2e.conftest import RunningServer

pytestmark = pytest.mark.timeout(200)

SECURITY = Path(__file__).parents[2] / "docs" / "security.md"
# What a process says of itself, and what the documents call it.
NAMES = {
    "haproxy": "HAProxy",
    "ServeReplica": "replica of Ray Serve",
    "ProxyActor": "proxy of Ray Serve",
    "HAProxyManager": "worker of Ray",
    "ServeController": "worker of Ray",
    "ray::IDLE": "worker of Ray",
    "serve.main": "worker of Ray",
    "gcs_server": "GCS",
    "raylet": "raylet",
    "dashboard.py": "dashboard",
    "monitor.py": "monitor",
    "DashboardAgent": "dashboard agent",
    "RuntimeEnvAgent": "runtime environment agent",
}


def name_of(process: psutil.Process) -> str:
    # A process's own title comes first; only of those without one do the arguments tell.
    cmdline = process.cmdline()
    for text in (cmdline[0], " ".join(cmdline)):
        for mark, name in NAMES.items():
            if mark in text:
                return name
    pytest.fail(f"An unknown process: {cmdline}")


def interface_of(address: str) -> str:
    if address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        return "127.0.0.1"
    return "all interfaces" if address in ("0.0.0.0", "::") else address


def listening(running: RunningServer) -> set[tuple[str, str, int]]:
    """Interface, name of the process and port of each listening socket."""
    return {
        (interface_of(connection.laddr.ip), name_of(process), connection.laddr.port)
        for process in running.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def documented() -> dict[tuple[str, str], str]:
    """Interface and process of each row of the table of ports, and what protects it."""
    table = SECURITY.read_text().partition("## Ports")[2]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)
    return {(interface, process): protection for interface, process, _, protection in rows[2:]}


def test_what_listens_is_what_the_documents_list(running: RunningServer) -> None:
    open_now = {(interface, process) for interface, process, _ in listening(running)}
    assert open_now - set(documented()) == set()
    # Its one port is a fixed one, which another Ray of this machine may have.
    assert set(documented()) - open_now <= {("127.0.0.1", "monitor")}


def test_what_others_can_reach_asks_for_the_token(running: RunningServer) -> None:
    reachable = [port for interface, _, port in listening(running) if interface != "127.0.0.1"]
    assert reachable
    assert {
        protection for (interface, _), protection in documented().items() if interface != "127.0.0.1"
    } == {"Ray's token"}
    method = "/ray.serve.ASGIService/HandleRequest"
    assert {call(port, method) for port in reachable} == {grpc.StatusCode.UNAUTHENTICATED}


def call(port: int, method: str, token: str | None = None) -> grpc.StatusCode:
    """Call a gRPC method with an empty request, and return how it was answered."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask: Callable[..., bytes] = channel.unary_unary(method)
        try:
            ask(b"", metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


def test_ray_itself_refuses_who_has_no_token(running: RunningServer) -> None:
    port = int(running.file.ray_address.rpartition(":")[2])
    method = "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo"
    token = Path(running.file.ray_token_path).read_text().strip()
    assert call(port, method) is grpc.StatusCode.UNAUTHENTICATED
    assert call(port, method, "0" * 64) is grpc.StatusCode.UNAUTHENTICATED
    assert call(port, method, token) is grpc.StatusCode.OK


def test_the_dashboard_and_the_agents_do_nothing_without_the_token(running: RunningServer) -> None:
    assert httpx.get(f"{running.file.dashboard_url}/api/jobs/", trust_env=False).status_code == 401
    ports = {(name, port) for _, name, port in listening(running)}
    (agent,) = [port for name, port in ports if name == "runtime environment agent"]
    url = f"http://127.0.0.1:{agent}/get_or_create_runtime_env"
    assert httpx.post(url, trust_env=False).status_code == 401
    # Another Ray of this machine may have this one.
    if ("dashboard agent", 52365) in ports:
        jobs = "http://127.0.0.1:52365/api/job_agent/jobs/"
        assert httpx.post(jobs, json={}, trust_env=False).status_code == 401
