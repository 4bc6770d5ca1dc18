"""A server on this machine, from its first check to its orderly end."""

import json
import os
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from cluster import ray_environment
from cluster.server_file import ServerFile
from serve.config import Settings
from serve.preflight import check_host, check_port, lock_data_dir, prepare_data_dir
from serve.signals import set_on_signals
from vectoray import __version__
from vectoray.core.errors import Unavailable

if TYPE_CHECKING:
    from cluster.runtime import RayAddresses

_log = structlog.get_logger(__name__)

_ANSWER_WITHIN_S = 60.0


def run(settings: Settings, stop: threading.Event) -> None:
    """Start a server, tell others how to find it, and stop it when ``stop`` is set.

    Raises:
        InvalidRequest: The host is not of this machine alone, or the data folder cannot be written.
        Conflict: The port is busy, or another server uses the data folder.
        Unavailable: A part of the server did not start.
    """
    check_host(settings.serve.host)
    data_dir = prepare_data_dir(settings.data_dir)
    settings = settings.model_copy(update={"data_dir": data_dir})
    lock = lock_data_dir(data_dir)
    try:
        check_port(settings.serve.host, settings.serve.port)
        ServerFile.remove(data_dir)
        token_path = data_dir / "secrets" / "ray.token"
        ray_environment.make_token(token_path)
        ray_environment.apply(token_path)
        _serve(settings, token_path, stop)
    finally:
        ServerFile.remove(data_dir)
        os.close(lock)


def _serve(settings: Settings, token_path: Path, stop: threading.Event) -> None:
    # Ray reads its environment when it is imported.
    from cluster import runtime  # noqa: PLC0415
    from serve.gateway import gateway_builder  # noqa: PLC0415

    serve = settings.serve
    data_dir = settings.data_dir
    steps: list[Callable[[], object]] = [
        lambda: runtime.start_serve(serve.host, serve.port),
        lambda: runtime.deploy_hosts(data_dir, settings.storage, settings.cluster),
        lambda: runtime.deploy_embedder(
            settings.pipelines.embedding_model, data_dir / "models", settings.cluster
        ),
        lambda: runtime.deploy_gateway(gateway_builder(settings), settings.cluster),
    ]
    try:
        addresses = runtime.start_ray(settings.cluster)
        # Starting Ray puts its own handlers in place of ours.
        set_on_signals(stop)
        for step in steps:
            if stop.is_set():
                return
            step()
        api_url = _url(serve.host, serve.port)
        _wait_for_answer(f"{api_url}/healthz", stop)
        if not stop.is_set():
            _server_file(settings, token_path, api_url, addresses).write()
            _log.info("server_started", api_url=api_url)
        stop.wait()
    finally:
        _log.info("server_stopping")
        runtime.stop()


def _server_file(settings: Settings, token_path: Path, api_url: str, addresses: "RayAddresses") -> ServerFile:
    return ServerFile(
        pid=os.getpid(),
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        version=__version__,
        api_url=api_url,
        docs_url=f"{api_url}/docs",
        dashboard_url=addresses.dashboard_url,
        ray_address=addresses.gcs,
        ray_token_path=str(token_path),
        data_dir=str(settings.data_dir),
        session_dir=addresses.session_dir,
        settings={
            "catalog_url": settings.catalog_url,
            "cluster": settings.cluster.model_dump(mode="json"),
            "pipelines": settings.pipelines.model_dump(mode="json"),
        },
    )


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _wait_for_answer(url: str, stop: threading.Event) -> None:
    deadline_s = time.monotonic() + _ANSWER_WITHIN_S
    while not stop.is_set():
        try:
            with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310  (our own address)
                json.load(response)
                return
        except (OSError, ValueError):
            if time.monotonic() > deadline_s:
                raise Unavailable(
                    f"The server did not answer within {_ANSWER_WITHIN_S:g} s of its start."
                ) from None
        stop.wait(0.1)
