"""How many processes embed chunks, on what, and what each of them loads. Knows no Ray."""

from dataclasses import dataclass
from pathlib import Path

from cluster.gpus import gpus_to_ask_for
from pipelines.embed import ChunkEmbedder
from pipelines.settings import PipelineSettings
from pipelines.vector_cache import VectorCache
from vectoray.embedding import EmbeddingSettings, ModelInfo, ModelRegistry
from vectoray.embedding.device import Device, choose_device


@dataclass(frozen=True, slots=True)
class EmbeddingWorkers:
    """What Ray is asked for.

    Attributes:
        count: How many workers.
        gpus: The part of a GPU for each; 0 where they compute on the CPU.
    """

    count: int
    gpus: float


def embedding_workers(
    pipelines: PipelineSettings, model: ModelInfo, *, cluster_gpus: float
) -> EmbeddingWorkers:
    """One worker for each GPU, else as many as the settings say.

    Raises:
        Unavailable: A GPU is wanted and there is none.
    """
    if not model.runs_on_gpu:
        return EmbeddingWorkers(pipelines.embed_actors, 0.0)
    gpus = gpus_to_ask_for(
        pipelines.embed_device,
        pipelines.embed_gpus,
        cluster_gpus=cluster_gpus,
        setting="pipelines.embed_device",
    )
    return EmbeddingWorkers(max(int(cluster_gpus), 1) if gpus else pipelines.embed_actors, gpus)


def chunk_embedder(
    model_name: str,
    *,
    embedding: EmbeddingSettings,
    pipelines: PipelineSettings,
    data_dir: Path,
    gpu_offered: bool,
) -> ChunkEmbedder:
    """Load a model for chunks, with this node's cache of vectors.

    Raises:
        InvalidRequest: There is no such model.
        Unavailable: A GPU is wanted and torch sees none.
        InternalError: The model cannot be loaded; the log says why.
    """
    registry = ModelRegistry(embedding)
    device: Device = "cpu"
    if registry.describe(model_name).runs_on_gpu:
        device = choose_device(pipelines.embed_device, gpu_offered=gpu_offered)
    model = registry.load(
        model_name, cache_dir=data_dir / "models", device=device, threads=pipelines.embed_threads
    )
    cache = None
    if pipelines.embed_cache_bytes:
        cache = VectorCache(data_dir / "vectors", max_bytes=pipelines.embed_cache_bytes)
    return ChunkEmbedder(model, cache)
