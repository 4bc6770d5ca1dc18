"""The environment variables under which every Ray process of a server runs.

Imports no Ray: they must be set before Ray is imported.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cluster.ports import free_port

# Requests and answers of a shard; Ray's default of 4 MB is less than one allowed request body.
_MAX_MESSAGE_BYTES = 512 * 2**20

_SERVE_VARIABLES = {
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(_MAX_MESSAGE_BYTES),
    # User code and the router in the replica's own loop: two thread hops less a call; gRPC between replicas.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # Ray Serve's name is older than its HAProxy: the gateways' own HTTP servers call it as well.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "cluster.gateway_replica:middlewares",
    # Its default of 0.1 s takes a twentieth of a processor, all day.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    # One that fails its health checks is not asked to end nicely.
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # They would come as one datagram for each request, read by a process in Python.
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    # A gateway that is gone is noticed at the first refused connection, one that hangs by this check.
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "2s",
    # HAProxy itself is started again after three of these.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    # A request that no gateway got is sent to another, and so is one that a gateway lost, where repeating it
    # is harmless (see `cluster.proxy.rewrite`).
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
    # Of a request up to this size, the bytes are kept to be sent again: a search with 2,000 dimensions.
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "65536",
    # How long a gateway that is to end still accepts requests, for HAProxy to learn of it.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
    # Streams never end by themselves: when the server stops, gateways get this long, then the shard hosts.
    "RAY_SERVE_SHUTDOWN_TIER_TIMEOUT_S": "10",
    # Its warnings name files of the server.
    "LANCE_LOG": "error",
}
# Gateways listen on loopback ports below those that the kernel gives out by itself. Each server has a range
# of its own: HAProxy may still know a gateway's port for a moment when the gateway is gone.
_GATEWAY_PORTS_FROM = 20_000
_GATEWAY_PORTS = 100
_GATEWAY_PORT_RANGES = 120


def make_token(path: Path) -> None:
    """Make the secret that Ray's ports ask for, readable by its owner alone, unless it is there."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A process that ends in between must not leave an empty secret behind.
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    temporary.rename(path)


def serve_variables(port: int, cpus: int, proxy: Mapping[str, str]) -> dict[str, str]:
    """What Ray Serve reads in all of its processes.

    Args:
        port: Where the server listens.
        cpus: How many this machine has for the server.
        proxy: Those of HAProxy's folder.
    """
    first_port = _GATEWAY_PORTS_FROM + _GATEWAY_PORTS * (port % _GATEWAY_PORT_RANGES)
    return {
        **_SERVE_VARIABLES,
        **proxy,
        # For Ray Serve's own proxy, which stands in for the gateways while there are none. Not one of those
        # that the kernel gives out: Ray's other processes ask for many of these before it is opened.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port(first_port + _GATEWAY_PORTS - 1)),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first_port),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first_port + _GATEWAY_PORTS - 2),
        # One thread passes on tens of thousands of requests a second.
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(max(cpus // 4, 1), 4)),
    }


def apply(token_path: Path, serve: Mapping[str, str] | None = None, *, several_nodes: bool = False) -> None:
    """Set the variables in this process; its children inherit them.

    Args:
        token_path: File of the secret that Ray's ports ask for.
        serve: What `serve_variables` gave, in the process that starts Ray Serve.
        several_nodes: Whether other nodes may join, so that Ray must be reachable by them.
    """
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.pop("RAY_AUTH_TOKEN", None)
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token_path)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Every five seconds Ray's agent would look at every process of the machine: a fifteenth of a processor.
    os.environ["REPORTER_UPDATE_INTERVAL_MS"] = "15000"
    # Ray would let every worker give way to any other program, and those that answer requests are workers.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  (as Ray spells it)
    # With 0 the node's address is 127.0.0.1, and all that Ray opens listens there alone. Named after the
    # systems on which it is Ray's default.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "1" if several_nodes else "0"
    os.environ.update(_SERVE_VARIABLES if serve is None else serve)
