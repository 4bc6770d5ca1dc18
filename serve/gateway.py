"""What a gateway replica runs: the ASGI application over the engine on Ray."""

import asyncio
from collections.abc import Callable

from cluster.embedder import RemoteEmbedder
from cluster.embedding_cache import EmbeddingCache
from cluster.gateway_replica import AsgiApp
from cluster.ingestor import RemoteIngestors
from cluster.logs import configure_logs
from cluster.ray_engine import RayEngine
from serve.app import build_app
from serve.config import Settings
from serve.credentials.passwords import Passwords
from serve.credentials.providers import configured_providers
from serve.credentials.signing_key import signing_key, signing_key_path
from serve.credentials.tokens import Tokens
from serve.machine import Machine
from serve.preflight import is_loopback
from serve.service.attempts import AttemptLimits
from serve.service.limits import CollectionDefaults, Limits
from serve.services import RateLimits, Services
from serve.upload_place import open_upload_place
from storage.catalog import Catalog
from storage.events import EventLog
from vectoray.embedding import ModelRegistry


def gateway_builder(settings: Settings) -> Callable[[], AsgiApp]:
    """A function that builds the application in the gateway's own process.

    Args:
        settings: With an absolute data folder.
    """

    async def open_services() -> Services:
        accounts = settings.accounts
        registry = ModelRegistry(settings.embedding)
        model = registry.describe(settings.pipelines.embedding_model)
        engine = RayEngine(settings.cluster, data_dir=settings.data_dir)
        engine.measure("gateway")
        return await Services.open(
            catalog=await Catalog.open(settings.database_url),
            engine=engine,
            event_log=await asyncio.to_thread(EventLog.open, settings.events_url),
            embedder=EmbeddingCache(
                RemoteEmbedder(timeout_s=settings.cluster.shard_timeout_s),
                entries=settings.cluster.embedder_cache_entries,
            ),
            # The default first.
            models=sorted(registry.models, key=lambda other: other != model),
            defaults=CollectionDefaults(shards=settings.cluster.shards_per_collection, embedding_model=model),
            limits=Limits(
                max_dimension=settings.serve.max_dimension,
                max_batch_points=settings.serve.max_batch_points,
                max_payload_bytes=settings.serve.max_payload_bytes,
                max_upload_bytes=settings.serve.max_upload_bytes,
                max_streams_per_user=settings.serve.max_streams_per_user,
                max_batch_urls=settings.serve.max_batch_urls,
                max_project_urls=settings.serve.max_project_urls,
            ),
            chunking=settings.pipelines.chunking.chunking(),
            machine=Machine(settings.data_dir),
            passwords=Passwords(
                threads=accounts.password_threads,
                queue_length=accounts.password_queue_length,
                memory_kib=accounts.password_memory_kib,
            ),
            tokens=Tokens(
                _signing_key(settings), access_s=accounts.access_token_s, refresh_s=accounts.refresh_token_s
            ),
            rate_limits=_rate_limits(settings),
            providers=configured_providers(accounts),
            blobs=open_upload_place(settings),
            wake_ingestors=RemoteIngestors().wake if settings.cluster.ingestors else _nobody,
            ingestors_expected=settings.cluster.ingestors > 0,
            keep_unused_uploads_s=settings.storage.unused_uploads_keep_s,
        )

    def build() -> AsgiApp:
        configure_logs()
        return build_app(
            settings.serve,
            open_services=open_services,
            anonymous_allowed=is_loopback(settings.serve.host),
        )

    return build


def _nobody() -> None:
    """There are no ingestors to wake."""


def _rate_limits(settings: Settings) -> RateLimits:
    accounts, url = settings.accounts, settings.serve.rate_limits_url
    return RateLimits(
        per_minute=settings.serve.rate_limit_per_minute,
        attempts=AttemptLimits(
            per_minute=accounts.attempts_per_minute,
            failed_logins=accounts.failed_logins,
            failed_logins_window_s=accounts.failed_logins_window_s,
        ),
        redis_url=None if url is None else url.get_secret_value(),
    )


def _signing_key(settings: Settings) -> bytes:
    given = settings.accounts.signing_key
    if given is not None:
        return given.get_secret_value().encode()
    return signing_key(signing_key_path(settings.data_dir))
