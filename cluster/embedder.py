"""Turns query texts into vectors in a process of its own, as a Ray Serve deployment."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import ray.serve

from cluster.logs import configure_logs
from cluster.remote import RemoteDeployment
from cluster.settings import ClusterSettings
from vectoray.core.errors import InvalidRequest
from vectoray.core.model import FloatMatrix
from vectoray.embedding.registry import load_model

_NAME = "embedder"


class EmbedderReplica:
    """One loaded model."""

    def __init__(self, model_name: str, cache_dir: Path) -> None:
        configure_logs()
        self._model = load_model(model_name, cache_dir=cache_dir)
        # One at a time: the model uses every core for each call.
        self._turn = asyncio.Lock()

    async def embed(self, model_name: str, texts: Sequence[str]) -> FloatMatrix:
        """Unit vectors of the texts: float32, shape (len(texts), dimension).

        Raises:
            InvalidRequest: Another model than the loaded one is asked for.
        """
        if model_name != self._model.name:
            raise InvalidRequest(
                f"The model '{model_name}' is not loaded; this server embeds with '{self._model.name}'.",
                {"model": model_name, "loaded": self._model.name},
            )
        async with self._turn:
            return await asyncio.to_thread(self._model.embed, texts)


def embedder_app(model_name: str, cache_dir: Path, cluster: ClusterSettings) -> Any:
    """The Ray Serve application of the query embedder."""
    deployment = ray.serve.deployment(
        name=_NAME,
        num_replicas=1,
        max_ongoing_requests=64,
        max_queued_requests=cluster.gateway_queue_length,
        graceful_shutdown_wait_loop_s=0.2,
        ray_actor_options={"num_cpus": 0},
    )(EmbedderReplica)
    return deployment.bind(model_name, cache_dir)


class RemoteEmbedder:
    """The deployed embedder, for a process that has joined Ray."""

    def __init__(self, *, timeout_s: float) -> None:
        self._remote = RemoteDeployment(_NAME, timeout_s=timeout_s)

    async def embed(self, model_name: str, texts: Sequence[str]) -> FloatMatrix:
        """As `EmbedderReplica.embed`."""
        return cast("FloatMatrix", await self._remote.call("embed", model_name, texts, repeatable=True))
