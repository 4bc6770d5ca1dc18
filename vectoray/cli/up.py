"""`vectoray up`: starts the server and says where it is."""

import os
from pathlib import Path
from typing import IO, Annotated

import typer

from vectoray.cli.child import started
from vectoray.cli.exit_codes import CommandFailed, ExitCode
from vectoray.cli.options import DEFAULT_DATA_DIR, DataDir, programs_of
from vectoray.cli.output import complain, say, waiting
from vectoray.cli.server_files import ServerFiles, ServerInfo
from vectoray.cli.start import ServerEnded, wait_until_answering
from vectoray.cli.stop import clean_up

_DETACH_TIMEOUT_S = 120.0
_TAIL_LINES = 20
_TAIL_BYTES = 16_384


def up(
    context: typer.Context,
    *,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once the server answers; it runs on.")
    ] = False,
    host: Annotated[str | None, typer.Option(help="Loopback address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    config: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Settings file (YAML).")
    ] = None,
) -> None:
    """Start the server, wait until it answers, and say where it is."""
    programs = programs_of(context)
    files = ServerFiles(data_dir)
    _refuse_second(files)
    command = [*programs.server, "--data-dir", str(files.data_dir)]
    for option, value in (("--config", config), ("--host", host), ("--port", port)):
        if value is not None:
            command += [option, str(value)]
    if detach:
        _run_detached(command, files)
    else:
        _run_in_foreground(command, files)


def _refuse_second(files: ServerFiles) -> None:
    info = files.running()
    if info:
        raise CommandFailed(
            f"A server runs in {files.data_dir} already, at {info.api_url}. "
            f"Stop it with: vectoray down --data-dir {files.data_dir}"
        )
    if files.locked():
        raise CommandFailed(
            f"A server in {files.data_dir} is just starting or stopping; try again in a moment."
        )


def _run_in_foreground(command: list[str], files: ServerFiles) -> None:
    with started(command) as child:
        try:
            with waiting("Starting the server", spinner=False) as tick:
                info = wait_until_answering(child, files, timeout_s=None, tick=tick)
        except ServerEnded as ended:
            # It has said why on stderr, which is ours.
            raise typer.Exit(_failure_code(ended.returncode)) from None
        _say_where(info, files, stop="Ctrl-C")
        returncode = child.wait()
        with waiting("Ending what is left of Ray", spinner=False) as tick:
            clean_up(files, info, tick=tick)
    if returncode != 0:
        raise typer.Exit(_failure_code(returncode))


def _run_detached(command: list[str], files: ServerFiles) -> None:
    with _open_log(files) as log:
        start = log.tell()
        try:
            with started(command, output=log) as child, waiting("Starting the server") as tick:
                info = wait_until_answering(child, files, timeout_s=_DETACH_TIMEOUT_S, tick=tick)
        except ServerEnded as ended:
            _complain_from_log(files.log_path, start, users_mistake=ended.returncode == ExitCode.USAGE)
            raise typer.Exit(_failure_code(ended.returncode)) from None
        except TimeoutError:
            raise CommandFailed(
                f"The server did not answer within {_DETACH_TIMEOUT_S:.0f} s and was stopped; "
                f"see {files.log_path}."
            ) from None
    # The server runs on; without this, Popen complains about a child that nobody waited for.
    child.returncode = 0
    _say_where(info, files, stop=f"vectoray down --data-dir {files.data_dir}")
    say(f"  log          {files.log_path}")


def _say_where(info: ServerInfo, files: ServerFiles, *, stop: str) -> None:
    say(f"Vectoray {info.version} is up.")
    say(f"  API          {info.api_url}")
    say(f"  API docs     {info.docs_url}")
    if info.dashboard_url:
        say(f"  dashboard    {info.dashboard_url}")
        if info.ray_token_path:
            say(f"  its token    cat {info.ray_token_path}")
    say(f"  data         {files.data_dir}")
    say(f"  stop         {stop}")


def _open_log(files: ServerFiles) -> IO[bytes]:
    def private(path: str, flags: int) -> int:
        return os.open(path, flags, 0o600)

    try:
        for folder in (files.data_dir, files.log_path.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return open(files.log_path, "ab", opener=private)
    except OSError as error:
        raise CommandFailed(
            f"Cannot write to the data directory {files.data_dir}: {error.strerror}.", ExitCode.USAGE
        ) from None


def _complain_from_log(path: Path, start: int, *, users_mistake: bool) -> None:
    """Show what the server said: its one sentence about a mistake, else its last lines."""
    with path.open("rb") as log:
        log.seek(max(start, path.stat().st_size - _TAIL_BYTES))
        lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    for line in lines[-1:] if users_mistake else lines[-_TAIL_LINES:]:
        complain(line)
    if not users_mistake:
        complain(f"The server ended before it answered. The whole log: {path}")


def _failure_code(returncode: int) -> int:
    """The server's own exit code if it says what failed; death by a signal and an early end do not."""
    return returncode if returncode > 0 else ExitCode.FAILURE
