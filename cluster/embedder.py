"""Turns query texts into vectors in a process of its own, as a Ray Serve deployment."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import ray
import ray.serve
import structlog

from cluster.embedding_batches import EmbeddingBatches
from cluster.gpus import gpus_to_ask_for
from cluster.logs import configure_logs
from cluster.metrics import BATCH_REQUESTS, WAITING_REQUESTS, Sampling
from cluster.remote import RemoteDeployment
from cluster.settings import ClusterSettings
from vectoray.core.errors import InvalidRequest
from vectoray.core.model import FloatMatrix
from vectoray.embedding.device import choose_device
from vectoray.embedding.registry import load_model

_NAME = "embedder"
_EMBED = {"kind": "embed"}

_log = structlog.get_logger(__name__)


class EmbedderReplica:
    """One loaded model, shared by all callers."""

    def __init__(self, model_name: str, cache_dir: Path, cluster: ClusterSettings, gpus: float) -> None:
        configure_logs()
        device = choose_device(cluster.embedder_device, gpu_offered=gpus > 0)
        model = load_model(
            model_name,
            cache_dir=cache_dir,
            device=device,
            threads=cluster.embedder_threads,
            low_latency=True,
        )
        _log.info("embedder_started", model=model_name, device=device)
        if gpus and device == "cpu":
            _log.warning("embedder_gpu_unused", reason="torch sees no GPU")
        self._model_name = model_name
        self._batches = EmbeddingBatches(
            model,
            batch_tokens=cluster.embedder_batch_tokens,
            queue_length=cluster.embedder_queue_length,
            observe=lambda texts: BATCH_REQUESTS.observe(texts, _EMBED),
        )
        self._sampling: Sampling | None = None

    async def check_health(self) -> None:
        """Called by Ray Serve in the loop that serves."""
        if self._sampling is None:
            self._sampling = Sampling("embedder", lambda: WAITING_REQUESTS.set(self._batches.waiting, _EMBED))

    async def embed(self, model_name: str, texts: Sequence[str], timeout_s: float) -> FloatMatrix:
        """Unit vectors of the texts: float32, shape (len(texts), dimension).

        Raises:
            InvalidRequest: Another model than the loaded one is asked for, or a text is not valid Unicode.
            VectorayError: As `EmbeddingBatches.embed`.
        """
        if model_name != self._model_name:
            raise InvalidRequest(
                f"The model '{model_name}' is not loaded; this server embeds with '{self._model_name}'.",
                {"model": model_name, "loaded": self._model_name},
            )
        return await self._batches.embed(texts, timeout_s=timeout_s)


def embedder_app(model_name: str, cache_dir: Path, cluster: ClusterSettings) -> Any:
    """The Ray Serve application of the query embedder.

    Raises:
        Unavailable: A GPU is wanted and there is none.
    """
    gpus = gpus_to_ask_for(cluster, cluster_gpus=float(ray.cluster_resources().get("GPU", 0)))
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
    return deployment.bind(model_name, cache_dir, cluster, gpus)


class RemoteEmbedder:
    """The deployed embedder, for a process that has joined Ray."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._remote = RemoteDeployment(_NAME, timeout_s=timeout_s)

    async def embed(self, model_name: str, texts: Sequence[str]) -> FloatMatrix:
        """As `EmbedderReplica.embed`."""
        vectors = await self._remote.call("embed", model_name, texts, self._timeout_s, repeatable=True)
        return cast("FloatMatrix", vectors)
