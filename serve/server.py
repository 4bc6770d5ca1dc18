"""A server on this machine, from its first check to its orderly end."""

import json
import os
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from cluster import ray_environment
from cluster.embedder_models import EmbedderModels
from cluster.event_publisher import Publishing
from cluster.proxy.folder import ProxyFolder, proxy_folder
from cluster.server_file import ServerFile
from serve.config import Settings
from serve.preflight import (
    check_host,
    check_port,
    check_signing_key,
    is_loopback,
    lock_data_dir,
    prepare_data_dir,
)
from serve.reload import ReloadOutcomes, check_changes
from serve.signals import Wishes
from serve.upload_place import open_upload_place
from vectoray import __version__
from vectoray.core.errors import Unavailable, VectorayError
from vectoray.embedding import ModelRegistry
from vectoray.embedding.settings import WITH_SECRETS

if TYPE_CHECKING:
    from cluster.runtime import RayAddresses

_log = structlog.get_logger(__name__)

_ANSWER_WITHIN_S = 60.0


def run(read_settings: Callable[[], Settings], wishes: Wishes) -> None:
    """Start a server, tell others how to find it, and stop it when that is wished.

    Args:
        read_settings: Called at the start, and whenever the settings are to be read again.
        wishes: What the process is asked for.

    Raises:
        InvalidRequest: A setting is wrong, the host is not of this machine alone, the data folder cannot be
            written, or its key that signs tokens is damaged.
        Conflict: The port is busy, or another server uses the data folder.
        Unavailable: A part of the server did not start.
    """
    settings = _with_absolute_data_dir(read_settings())
    check_host(settings.serve.host)
    data_dir = prepare_data_dir(settings.data_dir)
    lock = lock_data_dir(data_dir)
    try:
        if settings.accounts.signing_key is None:
            check_signing_key(data_dir)
        check_port(settings.serve.host, settings.serve.port)
        # As do the embedder and gateways.
        ModelRegistry(settings.embedding).describe(settings.pipelines.embedding_model)
        # Gateways open it again; a mistake in its URL is to be told by whoever starts the server.
        open_upload_place(settings)
        ServerFile.remove(data_dir)
        token_path = data_dir / "secrets" / "ray.token"
        ray_environment.make_token(token_path)
        with proxy_folder(data_dir / "run" / "proxy") as folder:
            variables = ray_environment.serve_variables(
                settings.serve.port,
                cpus=settings.cluster.cpus,
                proxy=folder.variables(),
            )
            ray_environment.apply(token_path, variables, several_nodes=settings.cluster.pin_shard_hosts)
            _Server(settings, folder, token_path, variables).run(read_settings, wishes)
    finally:
        ServerFile.remove(data_dir)
        os.close(lock)


class _Server:
    """What runs between the checks and the end."""

    def __init__(
        self, settings: Settings, folder: ProxyFolder, token_path: Path, variables: Mapping[str, str]
    ) -> None:
        # Ray reads its environment when it is imported, and that has been set just now.
        from cluster import runtime  # noqa: PLC0415

        self._runtime = runtime
        self._settings = settings
        self._folder = folder
        self._token_path = token_path
        self._variables = variables
        self._outcomes = ReloadOutcomes(settings.data_dir)

    def run(self, read_settings: Callable[[], Settings], wishes: Wishes) -> None:
        """Start all parts, replace the gateways when the settings are to be read again, stop all."""
        try:
            addresses = self._runtime.start_ray(self._settings.cluster)
            # Starting Ray puts its own handlers in place of ours.
            wishes.listen()
            for step in (
                self._start_proxy,
                self._deploy_hosts,
                self._deploy_embedder,
                self._deploy_gateways,
                # Last: what waits for them from before must not hold up the start of the others.
                self._deploy_ingestors,
            ):
                if wishes.stop:
                    return
                step()
            self._wait_for_answer(wishes)
            if wishes.stop:
                return
            self._outcomes.clear()
            server = self._server_file(addresses)
            server.write()
            _log.info("server_started", api_url=server.api_url)
            while wishes.wait_for_reload():
                self._tell(self._reload(read_settings), server)
        finally:
            _log.info("server_stopping")
            self._runtime.stop()

    def _start_proxy(self) -> None:
        self._impose(self._settings)
        try:
            self._runtime.start_serve(self._settings.serve.port, self._variables)
        except Unavailable as error:
            raise Unavailable(self._folder.refusal() or error.message) from error

    def _deploy_hosts(self) -> None:
        settings = self._settings
        events = Publishing(settings.events_url, settings.events)
        self._runtime.deploy_hosts(settings.data_dir, settings.storage, settings.cluster, events)

    def _deploy_embedder(self) -> None:
        settings = self._settings
        self._runtime.deploy_embedder(
            EmbedderModels(
                settings.embedding,
                default=settings.pipelines.embedding_model,
                cache_dir=settings.data_dir / "models",
            ),
            settings.cluster,
        )

    def _deploy_ingestors(self) -> None:
        from serve.ingestor import ingestor_builder  # noqa: PLC0415  (imports Ray)

        self._runtime.deploy_ingestors(ingestor_builder(self._settings), self._settings.cluster)

    def _deploy_gateways(self) -> None:
        from serve.gateway import gateway_builder  # noqa: PLC0415  (imports Ray)

        settings = self._settings
        timeout_s = settings.serve.request_timeout_s
        self._runtime.deploy_gateway(gateway_builder(settings), settings.cluster, request_timeout_s=timeout_s)

    def _impose(self, settings: Settings) -> None:
        serve = settings.serve
        self._folder.impose(
            f"{serve.host}:{serve.port}",
            settings.cluster,
            request_timeout_s=serve.request_timeout_s,
            loopback_only=is_loopback(serve.host),
        )

    def _reload(self, read_settings: Callable[[], Settings]) -> str | None:
        """Replace the gateways by ones with the settings as they are now. Returns what kept it from it.

        Whatever that is, the server goes on as it was.
        """
        before = self._settings
        try:
            wanted = _with_absolute_data_dir(read_settings())
            check_changes(before, wanted)
            self._impose(wanted)
            self._settings = wanted
            self._deploy_gateways()
        except VectorayError as error:
            self._take_back(before)
            _log.warning("reload_refused", reason=error.message)
            return error.message
        except Exception:  # noqa: BLE001  (logged, and told; not worth ending a server that works)
            self._take_back(before)
            _log.exception("reload_failed")
            return "The gateways were not replaced; the server's log says why."
        _log.info("server_reloaded")
        return None

    def _take_back(self, before: Settings) -> None:
        self._settings = before
        try:
            self._impose(before)
        except OSError:
            _log.exception("proxy_rules_not_taken_back")

    def _tell(self, problem: str | None, server: ServerFile) -> None:
        """Say how a reload went, and with which settings the server runs now."""
        try:
            replace(server, settings=self._for_drivers()).write()
            self._outcomes.tell(problem)
        except OSError:
            _log.exception("reload_not_told")

    def _server_file(self, addresses: "RayAddresses") -> ServerFile:
        settings = self._settings
        api_url = _url(settings.serve.host, settings.serve.port)
        return ServerFile(
            pid=os.getpid(),
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            version=__version__,
            api_url=api_url,
            docs_url=f"{api_url}/docs",
            dashboard_url=addresses.dashboard_url,
            ray_address=addresses.gcs,
            ray_token_path=str(self._token_path),
            data_dir=str(settings.data_dir),
            session_dir=addresses.session_dir,
            settings=self._for_drivers(),
        )

    def _for_drivers(self) -> dict[str, Any]:
        return {
            "database_url": self._settings.database_url,
            "embedding": self._settings.embedding.model_dump(mode="json", context=WITH_SECRETS),
            "cluster": self._settings.cluster.model_dump(mode="json"),
            "pipelines": self._settings.pipelines.model_dump(mode="json"),
        }

    def _wait_for_answer(self, wishes: Wishes) -> None:
        url = f"{_url(self._settings.serve.host, self._settings.serve.port)}/healthz"
        deadline_s = time.monotonic() + _ANSWER_WITHIN_S
        while not wishes.stop:
            try:
                with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310  (our own address)
                    json.load(response)
                    return
            except (OSError, ValueError):
                if time.monotonic() > deadline_s:
                    raise Unavailable(
                        f"The server did not answer within {_ANSWER_WITHIN_S:g} s of its start."
                    ) from None
            time.sleep(0.1)


def _with_absolute_data_dir(settings: Settings) -> Settings:
    return settings.model_copy(update={"data_dir": settings.data_dir.absolute()})


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
