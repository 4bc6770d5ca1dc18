"""`vectoray reload`: lets a running server read its settings again, without a request failing."""

import signal
import time

import orjson

from vectoray.cli import processes
from vectoray.cli.exit_codes import CommandFailed, ExitCode
from vectoray.cli.options import DEFAULT_DATA_DIR, DataDir
from vectoray.cli.output import Tick, say, waiting
from vectoray.cli.server_files import ServerFiles

_POLL_S = 0.1
_TIMEOUT_S = 300.0


def reload(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Replace the processes that speak HTTP by new ones with the settings as they are now.

    The server reads its settings from where it read them at its start: the same file, and the environment
    and options it was started with. Requests go on meanwhile.
    """
    files = ServerFiles(data_dir)
    files.require_running()
    owner = files.owner()
    before, _ = _outcome(files)
    if owner:
        processes.send_signal(owner, signal.SIGHUP)
    with waiting("Replacing the gateways") as tick:
        problem = _wait_for_outcome(files, after=before, tick=tick)
    if problem:
        raise CommandFailed(problem, ExitCode.USAGE)
    say("The server runs with its settings as they are now.")


def _wait_for_outcome(files: ServerFiles, *, after: int, tick: Tick) -> str | None:
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        number, problem = _outcome(files)
        if number > after:
            return problem
        if not files.locked():
            raise CommandFailed("The server ended before it had read its settings.")
        tick()
        time.sleep(_POLL_S)
    raise CommandFailed(f"The server did not replace its gateways within {_TIMEOUT_S:.0f} s; see its log.")


def _outcome(files: ServerFiles) -> tuple[int, str | None]:
    """The number of the latest outcome, 0 before the first, and what went wrong then."""
    try:
        outcome = orjson.loads(files.reload_path.read_bytes())
    except FileNotFoundError:
        return 0, None
    return int(outcome["number"]), outcome["problem"]
