"""Turns query texts into vectors in a process of its own, as a Ray Serve deployment."""

import time
from collections.abc import Sequence
from typing import Any, cast

import ray
import ray.serve
import structlog

from cluster.embedder_models import EmbedderModels
from cluster.embedding_batches import EmbeddingBatches
from cluster.gpus import gpus_to_ask_for
from cluster.loaded_models import LoadedModels
from cluster.logs import configure_logs
from cluster.metrics import BATCH_REQUESTS, WAITING_REQUESTS, Sampling
from cluster.remote import RemoteDeployment
from cluster.settings import ClusterSettings
from vectoray.core.model import FloatMatrix
from vectoray.embedding.device import choose_device
from vectoray.embedding.registry import ModelRegistry

_NAME = "embedder"
_EMBED = {"kind": "embed"}

_log = structlog.get_logger(__name__)


class EmbedderReplica:
    """Loaded models, shared by all callers."""

    def __init__(self, models: EmbedderModels, cluster: ClusterSettings, gpus: float) -> None:
        configure_logs()
        self._models = models
        self._cluster = cluster
        self._registry = ModelRegistry(models.settings)
        self._device = choose_device(cluster.embedder_device, gpu_offered=gpus > 0)
        self._loaded = LoadedModels(self._load, most=cluster.embedder_models)
        self._loaded.load_now(models.default)
        _log.info("embedder_started", model=models.default, device=self._device)
        if gpus and self._device == "cpu":
            _log.warning("embedder_gpu_unused", reason="torch sees no GPU")
        self._sampling: Sampling | None = None

    def _load(self, name: str) -> EmbeddingBatches:
        started = time.monotonic()
        model = self._registry.load(
            name,
            cache_dir=self._models.cache_dir,
            device=self._device,
            threads=self._cluster.embedder_threads,
            low_latency=True,
        )
        _log.info("embedding_model_loaded", model=name, duration_s=round(time.monotonic() - started, 1))
        return EmbeddingBatches(
            model,
            batch_tokens=self._cluster.embedder_batch_tokens,
            queue_length=self._cluster.embedder_queue_length,
            observe=lambda texts: BATCH_REQUESTS.observe(texts, _EMBED),
        )

    async def check_health(self) -> None:
        """Called by Ray Serve in the loop that serves."""
        if self._sampling is None:
            self._sampling = Sampling("embedder", lambda: WAITING_REQUESTS.set(self._loaded.waiting, _EMBED))

    async def embed(self, model_name: str, texts: Sequence[str], timeout_s: float) -> FloatMatrix:
        """Vectors of the texts: float32, shape (len(texts), dimension).

        Raises:
            InvalidRequest: There is no such model, or a text is not valid Unicode.
            DeadlineExceeded: The model is being loaded, or has too much to do.
            VectorayError: As `EmbeddingBatches.embed`.
        """
        # Before a loaded model goes for one that does not exist.
        self._registry.describe(model_name)
        end_s = time.monotonic() + timeout_s
        batches = await self._loaded.get(model_name, timeout_s=timeout_s)
        return await batches.embed(texts, timeout_s=end_s - time.monotonic())


def embedder_app(models: EmbedderModels, cluster: ClusterSettings) -> Any:
    """The Ray Serve application of the query embedder.

    Raises:
        Unavailable: A GPU is wanted and there is none.
    """
    gpus = gpus_to_ask_for(
        cluster.embedder_device,
        cluster.embedder_gpus,
        cluster_gpus=float(ray.cluster_resources().get("GPU", 0)),
        setting="cluster.embedder_device",
    )
    deployment = ray.serve.deployment(
        name=_NAME,
        num_replicas=1,
        max_ongoing_requests=cluster.embedder_queue_length,
        max_queued_requests=cluster.embedder_queue_length,
        graceful_shutdown_wait_loop_s=0.2,
        # Ray Serve would write a line for each call.
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
        ray_actor_options={"num_cpus": 0, "num_gpus": gpus},
    )(EmbedderReplica)
    return deployment.bind(models, cluster, gpus)


class RemoteEmbedder:
    """The deployed embedder, for a process that has joined Ray."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._remote = RemoteDeployment(_NAME, timeout_s=timeout_s)

    async def embed(self, model_name: str, texts: Sequence[str]) -> FloatMatrix:
        """As `EmbedderReplica.embed`."""
        vectors = await self._remote.call("embed", model_name, texts, self._timeout_s, repeatable=True)
        return cast("FloatMatrix", vectors)
