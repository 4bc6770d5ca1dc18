"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from vectoray.cli.programs import Programs, installed_programs

DEFAULT_DATA_DIR = Path("vectoray-data")

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir", envvar="VECTORAY_DATA_DIR", file_okay=False, help="Where the server keeps its data."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def programs_of(context: typer.Context) -> Programs:
    """The programs to start: those a test passed as the context's object, else the installed ones.

    Raises:
        CommandFailed: The server packages are not installed.
    """
    return context.obj if isinstance(context.obj, Programs) else installed_programs()
