"""How the command line speaks: plain lines on stdout, complaints and progress on stderr, JSON on request."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

import orjson
import typer
from rich.console import Console

_SILENT_S = 10.0


class Tick(Protocol):
    """Called again and again while something is awaited."""

    def __call__(self) -> None:
        """Show that time passes."""


def say(line: str = "") -> None:
    """Print one line for the reader."""
    typer.echo(line)


def complain(line: str) -> None:
    """Print one line about what went wrong."""
    typer.echo(line, err=True)


def say_json(value: object) -> None:
    """Print ``value`` as indented JSON."""
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def printable(text: str) -> str:
    """``text`` on one line, without the control characters with which a document could steer a terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


@contextmanager
def waiting(what: str, *, spinner: bool = True) -> Iterator[Tick]:
    """Show on stderr that ``what`` takes time: a spinner on a terminal, else a line every ten seconds.

    What is there at once shows nothing.

    Args:
        what: Such as ``Starting the server``.
        spinner: False when another process writes to the same terminal meanwhile.
    """
    console = Console(stderr=True, highlight=False)
    started = monotonic()

    if spinner and console.is_terminal:
        with console.status(f"{what} ...") as status:
            yield lambda: status.update(f"{what} ... {monotonic() - started:.0f} s")
        return

    said: float | None = None

    def tick() -> None:
        nonlocal said
        now = monotonic()
        if said is None:
            complain(f"{what} ...")
            said = now
        elif now - said >= _SILENT_S:
            complain(f"{what} ... {now - started:.0f} s")
            said = now

    yield tick
