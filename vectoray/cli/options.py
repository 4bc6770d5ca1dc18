"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from vectoray.cli.programs import Programs, installed_programs
from vectoray.cli.server_files import ServerFiles
from vectoray.client import Client

DEFAULT_DATA_DIR = Path("vectoray-data")

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir", envvar="VECTORAY_DATA_DIR", file_okay=False, help="Where the server keeps its data."
    ),
]
ServerUrl = Annotated[
    str | None,
    typer.Option("--url", help="Address of the server, instead of looking into the data directory."),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="VECTORAY_API_KEY",
        show_envvar=True,
        help="Whose collections and jobs it is about.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def connected(data_dir: Path, url: str | None, api_key: str | None) -> Client:
    """A client of the server at ``url``, or else of the one that runs in ``data_dir``.

    Raises:
        CommandFailed: None runs there.
    """
    return Client(url or ServerFiles(data_dir).require_running().api_url, api_key)


def programs_of(context: typer.Context) -> Programs:
    """The programs to start: those a test passed as the context's object, else the installed ones.

    Raises:
        CommandFailed: The server packages are not installed.
    """
    return context.obj if isinstance(context.obj, Programs) else installed_programs()
