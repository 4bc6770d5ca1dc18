"""Renders measurements as aligned text."""

from collections.abc import Sequence

from scripts.bench.measurement import Figure, Measurement

_HEADER = ("what", "required", "reached", "")


def render(measurements: Sequence[Measurement]) -> str:
    """A table with a line for each figure, and each row's notes under its figures."""
    lines: list[tuple[str, ...]] = [_HEADER]
    for measurement in measurements:
        if measurement.error is not None:
            lines += [(measurement.row, "", "", "FAILED"), (f"    {measurement.error}",)]
        lines += [_cells(figure) for figure in measurement.figures]
        lines += [(f"    {note}",) for note in measurement.notes]
    # Notes are lines of one cell: they run over the columns.
    columns = [line for line in lines if len(line) > 1]
    widths = [max(len(line[column]) for line in columns) for column in range(len(_HEADER))]
    return "\n".join(_line(line, widths) for line in lines)


def number(value: float) -> str:
    """Three significant digits below a hundred, whole numbers with separators above."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1 or value == 0 else f"{value:.4f}"


def _cells(figure: Figure) -> tuple[str, ...]:
    bound = "<=" if figure.at_most else ">="
    unit = f" {figure.unit}" if figure.unit else ""
    reached = "" if figure.reached is None else number(figure.reached) + unit
    return figure.name, f"{bound} {number(figure.required)}{unit}", reached, figure.verdict.value


def _line(cells: tuple[str, ...], widths: Sequence[int]) -> str:
    if len(cells) == 1:
        return cells[0]
    what, required, reached, verdict = cells
    return f"{what:<{widths[0]}}  {required:>{widths[1]}}  {reached:>{widths[2]}}  {verdict}".rstrip()
