"""The processors a model may run on, and which of them is taken. Imports torch only to look at a GPU."""

from typing import Literal

from vectoray.core.errors import Unavailable

DeviceChoice = Literal["auto", "cpu", "gpu"]
Device = Literal["cpu", "gpu"]


def choose_device(wanted: DeviceChoice, *, gpu_offered: bool) -> Device:
    """The device to load a model for.

    Args:
        wanted: ``auto`` takes a GPU when one is offered and torch can use it.
        gpu_offered: Whether this process may use a GPU. If not, torch is not asked, since importing it takes
            seconds and hundreds of megabytes.

    Raises:
        Unavailable: A GPU is wanted, and there is none that torch can use.
    """
    if wanted == "cpu":
        return "cpu"
    if gpu_offered and _torch_sees_a_gpu():
        return "gpu"
    if wanted == "gpu":
        raise Unavailable(
            "No GPU can be used for embedding: give the machine one and install a torch built for it, or "
            "choose the device 'cpu' or 'auto'."
        )
    return "cpu"


def _torch_sees_a_gpu() -> bool:
    import torch  # noqa: PLC0415  (see above)

    return bool(torch.cuda.is_available())
