"""Draws throughput and latency over the number of connections, all systems in one picture."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

# Colours that people with any colour vision tell apart (Okabe and Ito 2008), and marks besides.
_STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"))
_PANELS = (
    ("Good answers per second", "per_s", "{:,.0f}"),
    ("Median latency, ms", "p50_ms", "{:g}"),
    ("99th percentile of latency, ms", "p99_ms", "{:g}"),
)

_Curves = Mapping[str, Mapping[str, Mapping[str, Any]]]


def draw_curves(curves: _Curves, title: str, path: Path) -> None:
    """Write a PNG.

    Args:
        curves: For each system, for each number of connections, ``per_s``, ``p50_ms`` and ``p99_ms``.
        title: A line or two over the picture.
        path: Where to.
    """
    figure, panels = plt.subplots(1, len(_PANELS), figsize=(13, 5))
    for axes, (label, key, form) in zip(panels, _PANELS, strict=True):
        _draw(axes, curves, key)
        axes.set_title(label, fontsize=11)
        axes.yaxis.set_major_formatter(FuncFormatter(_formatter(form)))
    figure.suptitle(title, fontsize=12, x=0.01, y=0.985, ha="left")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="lower center", ncols=max(1, len(curves)), frameon=False
    )
    figure.tight_layout(rect=(0, 0.07, 1, 0.97))
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw(axes: Axes, curves: _Curves, key: str) -> None:
    for (system, levels), (colour, mark) in zip(curves.items(), _STYLES, strict=False):
        connections = sorted(map(int, levels))
        values = [levels[str(count)][key] for count in connections]
        axes.plot(connections, values, color=colour, marker=mark, markersize=6, linewidth=2, label=system)
    levels_shown = sorted({int(count) for levels in curves.values() for count in levels})
    axes.set_xscale("log", base=2)
    axes.set_xticks(levels_shown, [str(count) for count in levels_shown])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("connections")
    if key == "per_s":
        axes.set_ylim(bottom=0)
    else:
        axes.set_yscale("log")
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)


def _formatter(form: str) -> Callable[[float, int | None], str]:
    return lambda value, _position: form.format(value)
