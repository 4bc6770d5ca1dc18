"""Draws memory over time as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

# Colours that people with any colour vision tell apart (Okabe and Ito 2008).
_ALL, _HELD, _BOUND = "#56B4E9", "#0072B2", "#D55E00"
_MIB = 2**20


def draw_memory(curve: Sequence[dict[str, Any]], *, bound_bytes: float, title: str, path: Path) -> None:
    """Write a PNG.

    Args:
        curve: For each sample ``at_s``, ``pss`` and ``held``, in seconds and bytes.
        bound_bytes: What ``held`` must not exceed.
        title: A line over the picture.
        path: Where to.
    """
    seconds = [sample["at_s"] for sample in curve]
    figure, axes = plt.subplots(figsize=(10, 5))
    axes.plot(
        seconds,
        [sample["pss"] / _MIB for sample in curve],
        color=_ALL,
        linewidth=1.5,
        label="all, with mapped files, which the kernel can take back",
    )
    axes.plot(
        seconds,
        [sample["held"] / _MIB for sample in curve],
        color=_HELD,
        linewidth=2,
        label="anonymous and shared memory",
    )
    axes.axhline(bound_bytes / _MIB, color=_BOUND, linestyle="--", linewidth=1.5, label="the bound")
    axes.set_xlabel("seconds")
    axes.set_ylabel("MiB of all processes")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, color="#dddddd", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)
