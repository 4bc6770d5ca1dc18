"""Decides whether a process that embeds asks Ray for a GPU. Knows no Ray."""

from vectoray.core.errors import Unavailable
from vectoray.embedding.device import DeviceChoice


def gpus_to_ask_for(device: DeviceChoice, part: float, *, cluster_gpus: float, setting: str) -> float:
    """The part of a GPU that Ray is asked for; 0 where the model shall run on the CPU.

    Args:
        device: Which is wanted.
        part: Of a GPU.
        cluster_gpus: GPUs that Ray sees, busy or not.
        setting: Where the device was chosen.

    Raises:
        Unavailable: A GPU is wanted and there is none. Ray would wait for one for ever.
    """
    if device == "cpu":
        return 0.0
    if cluster_gpus >= part:
        return part
    if device == "gpu":
        raise Unavailable(f"'{setting}' is 'gpu', but Ray sees no GPU; choose 'auto' or 'cpu', or add one.")
    return 0.0
