"""`vectoray status`: says whether a server runs, where, and how much it holds."""

from dataclasses import asdict

import typer

from vectoray.cli.exit_codes import ExitCode
from vectoray.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from vectoray.cli.output import say, say_json
from vectoray.cli.server_files import ServerFiles, ServerInfo
from vectoray.client import Client, ServerHealth
from vectoray.core.errors import VectorayError

_TIMEOUT_S = 5.0


def status(data_dir: DataDir = DEFAULT_DATA_DIR, *, as_json: AsJson = False) -> None:
    """Say whether a server runs, where, and how much it holds."""
    files = ServerFiles(data_dir)
    info = files.running()
    health, problem = _ask(info) if info else (None, "not running")
    if as_json:
        say_json(
            {
                "running": info is not None,
                "healthy": health is not None and health.status == "healthy",
                "problem": problem,
                "data_dir": str(files.data_dir),
                "server": asdict(info) if info else None,
                "health": asdict(health) if health else None,
            }
        )
    elif info is None:
        say(
            f"A server is starting or stopping in {files.data_dir}."
            if files.locked()
            else f"No server runs in {files.data_dir}."
        )
    else:
        _say_state(info, health, problem, files)
    if health is None:
        raise typer.Exit(ExitCode.FAILURE)


def _ask(info: ServerInfo) -> tuple[ServerHealth | None, str | None]:
    try:
        with Client(info.api_url, timeout_s=_TIMEOUT_S) as client:
            return client.health(), None
    except VectorayError as error:
        return None, error.message


def _say_state(
    info: ServerInfo, health: ServerHealth | None, problem: str | None, files: ServerFiles
) -> None:
    say(f"state        {health.status if health else f'not answering: {problem}'}")
    say(f"API          {info.api_url}")
    say(f"API docs     {info.docs_url}")
    if info.dashboard_url:
        say(f"dashboard    {info.dashboard_url}")
        if info.ray_token_path:
            say(f"its token    cat {info.ray_token_path}")
    say(f"version      {info.version}")
    say(f"since        {info.started_at}")
    say(f"process      {info.pid}")
    say(f"data         {files.data_dir}")
    if health:
        say(f"collections  {health.collections}")
        say(f"vectors      {health.total_vectors}")
