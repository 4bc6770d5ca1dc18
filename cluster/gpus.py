"""Decides whether the embedder asks Ray for a GPU. Knows no Ray."""

from cluster.settings import ClusterSettings
from vectoray.core.errors import Unavailable


def gpus_to_ask_for(cluster: ClusterSettings, *, cluster_gpus: float) -> float:
    """The part of a GPU that Ray is asked for; 0 where the model shall run on the CPU.

    Args:
        cluster: Says which device is wanted.
        cluster_gpus: GPUs that Ray sees, busy or not.

    Raises:
        Unavailable: A GPU is wanted and there is none. Ray would wait for one for ever.
    """
    if cluster.embedder_device == "cpu":
        return 0.0
    if cluster_gpus >= cluster.embedder_gpus:
        return cluster.embedder_gpus
    if cluster.embedder_device == "gpu":
        raise Unavailable(
            "'cluster.embedder_device' is 'gpu', but Ray sees no GPU; choose 'auto' or 'cpu', or add one."
        )
    return 0.0
