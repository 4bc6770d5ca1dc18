"""Starts Ray and Ray Serve on this machine, deploys the server's parts, joins a running one, stops all."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.serve
from ray.serve.config import ControllerOptions

from cluster.embedder import embedder_app
from cluster.embedder_models import EmbedderModels
from cluster.event_publisher import Publishing
from cluster.gateway_replica import AsgiApp, GatewayReplica
from cluster.ingestor import Ingestor, ingestor_app
from cluster.ports import free_port
from cluster.server_file import ServerFile
from cluster.settings import ClusterSettings
from cluster.shard_host import shard_host_app, shard_host_name
from storage.settings import StorageSettings
from vectoray.core.errors import Unavailable

NAMESPACE = "vectoray"


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


def start_serve(port: int, variables: Mapping[str, str]) -> None:
    """Start Ray Serve, behind its HAProxy.

    Args:
        port: Where HAProxy listens; on which address, its rules say (`cluster.proxy`).
        variables: What `ray_environment.serve_variables` gave.

    Raises:
        Unavailable: HAProxy did not start.
    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        ray.serve.start(
            proxy_location="HeadOnly",
            # Also where the gateways listen for HAProxy.
            http_options={"host": "127.0.0.1", "port": port, "keep_alive_timeout_s": 75},
            controller_options=ControllerOptions(runtime_env={"env_vars": dict(variables)}),
        )
    except RuntimeError as error:
        # Its text holds the proxy's traceback, which is for the log alone.
        logging.getLogger(__name__).exception("proxy_failed")
        raise Unavailable("The HTTP proxy did not start; the server's log says why.") from error


def deploy_hosts(
    data_dir: Path, storage: StorageSettings, cluster: ClusterSettings, events: Publishing
) -> None:
    """Deploy the shard hosts and wait until they run."""
    for number in range(cluster.shard_hosts):
        _run(shard_host_app(number, data_dir, storage, cluster, events), shard_host_name(number), None)


def deploy_embedder(models: EmbedderModels, cluster: ClusterSettings) -> None:
    """Deploy the query embedder and wait until its default model is loaded."""
    _run(embedder_app(models, cluster), "embedder", None)


def deploy_ingestors(begin: Callable[[], Awaitable[Ingestor]], cluster: ClusterSettings) -> None:
    """Deploy the ingestors, if there are to be any, and wait until their processes run.

    Args:
        begin: Makes what works in one, in its process.
        cluster: How many.
    """
    if cluster.ingestors:
        _run(ingestor_app(begin, cluster), "ingestor", None)


def deploy_gateway(
    build: Callable[[], AsgiApp], cluster: ClusterSettings, *, request_timeout_s: float
) -> None:
    """Deploy the HTTP gateways and wait until they run.

    Where there are some already, new ones are started first; then the old ones finish what they have and
    end. If the new ones do not start, the old ones stay.

    Args:
        build: Makes the ASGI application, in the gateway's process.
        cluster: How many, and how much each has at once.
        request_timeout_s: After which a gateway gives up a request by itself.
    """
    # HAProxy bounds what a gateway gets, in our clients' own words. Ray Serve's bounds are for the moment in
    # which HAProxy is replaced and an old and a new one send requests.
    at_once = 4 * cluster.gateway_concurrency
    deployment = ray.serve.deployment(
        name="gateway",
        num_replicas=cluster.gateways,
        max_ongoing_requests=at_once,
        max_queued_requests=at_once + 4 * cluster.gateway_queue_length,
        # One more than there are, while they are replaced one by one.
        max_surge_percent=1,
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=request_timeout_s + 10,
        # Below warnings Ray Serve tells of each request, with its path.
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
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
