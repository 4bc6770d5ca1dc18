"""Starts Ray and Ray Serve on this machine, deploys the server's parts, joins a running one, stops all."""

import logging
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.serve
from ray.serve.config import ControllerOptions

from cluster import ray_environment
from cluster.embedder import embedder_app
from cluster.server_file import ServerFile
from cluster.settings import ClusterSettings
from cluster.shard_host import shard_host_app, shard_host_name
from storage.settings import StorageSettings
from vectoray.core.errors import Unavailable

NAMESPACE = "vectoray"

_Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]
]


@dataclass(frozen=True, slots=True)
class RayAddresses:
    """Where the started parts are found.

    Attributes:
        gcs: Host and port at which a driver joins.
        dashboard_url: The Ray dashboard, or None when it did not start.
        session_dir: Ray's folder of logs and sockets.
    """

    gcs: str
    dashboard_url: str | None
    session_dir: str


class GatewayReplica:
    """A process that speaks HTTP: it builds the ASGI application it was given."""

    def __init__(self, build: Callable[[], AsgiApp]) -> None:
        self._build = build

    def __serve_build_asgi_app__(self) -> AsgiApp:
        """Called by Ray Serve after the constructor."""
        return self._build()


def start_ray(settings: ClusterSettings) -> RayAddresses:
    """Start a Ray of our own; it ends with this process, however this process ends.

    `ray_environment.apply` has been called before Ray was imported.
    """
    context = ray.init(
        address="local",
        namespace=NAMESPACE,
        num_cpus=settings.num_cpus,
        object_store_memory=settings.object_store_bytes,
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        dashboard_port=free_port(settings.dashboard_port),
        log_to_driver=False,
        logging_level=logging.WARNING,
    )
    info = context.address_info
    url = info.get("webui_url")
    return RayAddresses(
        gcs=str(info["gcs_address"]),
        dashboard_url=f"http://{url}" if url else None,
        session_dir=str(info["session_dir"]),
    )


def start_serve(host: str, port: int) -> None:
    """Start Ray Serve with its HTTP proxy on this address."""
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    ray.serve.start(
        proxy_location="HeadOnly",
        http_options={"host": host, "port": port, "keep_alive_timeout_s": 75},
        controller_options=ControllerOptions(runtime_env={"env_vars": ray_environment.SERVE_VARIABLES}),
    )


def deploy_hosts(data_dir: Path, storage: StorageSettings, cluster: ClusterSettings) -> None:
    """Deploy the shard hosts and wait until they run."""
    for number in range(cluster.shard_hosts):
        _run(shard_host_app(number, data_dir, storage, cluster), shard_host_name(number), None)


def deploy_embedder(model_name: str, cache_dir: Path, cluster: ClusterSettings) -> None:
    """Deploy the query embedder and wait until its model is loaded."""
    _run(embedder_app(model_name, cache_dir, cluster), "embedder", None)


def deploy_gateway(build: Callable[[], AsgiApp], cluster: ClusterSettings) -> None:
    """Deploy the HTTP gateways and wait until they run.

    Args:
        build: Makes the ASGI application, in the gateway's process.
        cluster: How many, and how much may wait.
    """
    deployment = ray.serve.deployment(
        name="gateway",
        num_replicas=cluster.gateway_replicas,
        max_ongoing_requests=cluster.gateway_queue_length,
        max_queued_requests=cluster.gateway_queue_length,
        health_check_period_s=2,
        graceful_shutdown_wait_loop_s=0.2,
        ray_actor_options={"num_cpus": 0},
    )(ray.serve.ingress()(GatewayReplica))
    _run(deployment.bind(build), "gateway", "/")


def _run(app: Any, name: str, route_prefix: str | None) -> None:
    try:
        ray.serve.run(app, name=name, route_prefix=route_prefix)
    except RuntimeError as error:
        # Its text holds the replica's traceback, which is for the log alone.
        logging.getLogger(__name__).exception("deployment_failed")
        raise Unavailable(f"The part '{name}' of the server did not start; its log says why.") from error


def stop() -> None:
    """Stop everything `start_ray` and the deployments started. Acknowledged writes are safe without it."""
    try:
        ray.serve.shutdown()
    finally:
        ray.shutdown()


def join(server: ServerFile) -> None:
    """Make this process a driver of a running server's Ray.

    `ray_environment.apply` has been called before Ray was imported.
    """
    ray.init(
        address=server.ray_address,
        namespace=NAMESPACE,
        log_to_driver=False,
        logging_level=logging.WARNING,
    )


def leave() -> None:
    """Undo `join`."""
    ray.shutdown()


def free_port(preferred: int) -> int:
    """``preferred`` if nobody listens there on 127.0.0.1, else a free one.

    Raises:
        Unavailable: No port is free.
    """
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Unavailable("No port is free on 127.0.0.1.")
