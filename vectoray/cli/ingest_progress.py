"""Shows how far an ingestion run is, from the counts that `pipelines.run` writes into a file."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from vectoray.cli.output import complain

_SILENT_S = 10.0
# What each stage counts, and what tells how much it will be; what is listed, nobody knows before.
_STAGES = {
    "listed": "listed",
    "fetched": "listed",
    "read": "listed",
    "embedded": "changed",
    "stored": "changed",
}


def read_counts(path: Path) -> dict[str, int]:
    """The counts; none as long as there is no file."""
    try:
        found = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    return {str(name): int(count) for name, count in found.items()}


@contextmanager
def shown(path: Path, console: Console | None = None) -> Iterator[Callable[[], None]]:
    """Show counts on stderr: bars on a terminal, else a line every ten seconds.

    Args:
        path: Where the counts are.
        console: Where to draw.

    Yields:
        What looks at the counts again; to be called a few times a second.
    """
    console = console or Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Lines(path).look
        return
    columns = TextColumn("{task.description:>9}"), BarColumn(), _Count(), _Rate()
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bars(path, progress).look


class _Lines:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._said_s = monotonic()

    def look(self) -> None:
        if monotonic() - self._said_s >= _SILENT_S:
            self._said_s = monotonic()
            complain(as_line(read_counts(self._path)))


def as_line(counts: Mapping[str, int]) -> str:
    """Counts in one line, such as ``listed 14, read 13, embedded 50 of 57``."""
    parts = []
    for stage, whole in _STAGES.items():
        if stage in counts:
            total = counts.get(whole, 0)
            parts.append(f"{stage} {counts[stage]}" + (f" of {total}" if whole != stage else ""))
    if counts.get("failed"):
        parts.append(f"failed {counts['failed']}")
    return ", ".join(parts) or "starting ..."


class _Bars:
    def __init__(self, path: Path, progress: Progress) -> None:
        self._path, self._progress = path, progress
        self._tasks: dict[str, TaskID] = {}

    def look(self) -> None:
        counts = read_counts(self._path)
        for stage, whole in _STAGES.items():
            if stage in counts:
                if stage not in self._tasks:
                    self._tasks[stage] = self._progress.add_task(stage, total=None)
                self._progress.update(
                    self._tasks[stage],
                    completed=counts[stage],
                    total=counts.get(whole, 0),
                )


class _Count(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = f"/{task.total:.0f}" if task.total and task.description != "listed" else ""
        return Text(f"{task.completed:.0f}{total}")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")
