"""`vectoray users`: lists users, makes administrators, shuts users out. Works on the data folder itself.

Whoever may write that folder may do anything anyway; no API makes an administrator.
"""

from pathlib import Path
from typing import Annotated

import typer

from vectoray.cli.child import started
from vectoray.cli.exit_codes import ExitCode
from vectoray.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, programs_of

users = typer.Typer(no_args_is_help=True, help="List users, make administrators, shut users out.")

_Email = Annotated[str, typer.Argument(help="The user's email.")]
_Config = Annotated[
    Path | None, typer.Option("--config", exists=True, dir_okay=False, help="The server's file of settings.")
]


@users.command("list")
def list_users(
    context: typer.Context,
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    config: _Config = None,
    as_json: AsJson = False,
) -> None:
    """List all users, oldest first."""
    _run(context, data_dir, config, "list", *(["--json"] if as_json else []))


@users.command("make-admin")
def make_admin(
    context: typer.Context, email: _Email, *, data_dir: DataDir = DEFAULT_DATA_DIR, config: _Config = None
) -> None:
    """Let a user see and change everybody's collections."""
    _run(context, data_dir, config, "make-admin", email)


@users.command("deactivate")
def deactivate(
    context: typer.Context, email: _Email, *, data_dir: DataDir = DEFAULT_DATA_DIR, config: _Config = None
) -> None:
    """Refuse all credentials of a user from now on. Nothing is deleted."""
    _run(context, data_dir, config, "deactivate", email)


@users.command("activate")
def activate(
    context: typer.Context, email: _Email, *, data_dir: DataDir = DEFAULT_DATA_DIR, config: _Config = None
) -> None:
    """Accept a user's credentials again."""
    _run(context, data_dir, config, "activate", email)


def _run(context: typer.Context, data_dir: Path, config: Path | None, *action: str) -> None:
    """Run the program, which says on our stdout and stderr what came of it."""
    command = [*programs_of(context).users, "--data-dir", str(data_dir)]
    if config is not None:
        command += ["--config", str(config)]
    with started([*command, *action]) as child:
        returncode = child.wait()
    if returncode != ExitCode.OK:
        raise typer.Exit(returncode if returncode > 0 else ExitCode.FAILURE)
