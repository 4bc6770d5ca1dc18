"""The `vectoray` command: puts the commands together and turns errors into sentences and exit codes."""

from typing import Annotated

import typer
from typer.core import TyperGroup

from vectoray import __version__
from vectoray.cli.down import down
from vectoray.cli.exit_codes import CommandFailed, exit_code_of
from vectoray.cli.explain import explain
from vectoray.cli.ingest import ingest
from vectoray.cli.jobs import jobs
from vectoray.cli.output import complain, say
from vectoray.cli.reload import reload
from vectoray.cli.search import search
from vectoray.cli.status import status
from vectoray.cli.up import up
from vectoray.cli.users import users
from vectoray.core.errors import VectorayError


class _Group(TyperGroup):
    """Commands whose expected errors end in one sentence, never in a traceback."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except VectorayError as error:
            complain(error.message)
            raise typer.Exit(exit_code_of(error)) from None
        except CommandFailed as error:
            complain(error.message)
            raise typer.Exit(error.exit_code) from None


# Plain tracebacks for faults of ours: the pretty ones print local variables, credentials among them.
app = typer.Typer(cls=_Group, no_args_is_help=True, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"vectoray {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Ingest documents and vectors on a Ray cluster, and search them."""


app.command()(up)
app.command()(down)
app.command()(reload)
app.command()(status)
app.command()(ingest)
app.command()(search)
app.command()(explain)
app.add_typer(jobs, name="jobs")
app.add_typer(users, name="users")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
