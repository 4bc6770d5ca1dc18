"""`vectoray down`: stops the server and leaves no process behind."""

from vectoray.cli.exit_codes import CommandFailed
from vectoray.cli.options import DEFAULT_DATA_DIR, DataDir
from vectoray.cli.output import say, waiting
from vectoray.cli.server_files import ServerFiles
from vectoray.cli.stop import StillRunning, Stopped, stop_server

_GRACE_S = 40.0


def down(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Stop the server and leave no process behind. What was acknowledged is kept."""
    files = ServerFiles(data_dir)
    try:
        with waiting("Stopping the server") as tick:
            outcome = stop_server(files, grace_s=_GRACE_S, tick=tick)
    except StillRunning as left:
        pids = ", ".join(map(str, left.pids))
        raise CommandFailed(f"These processes of the server could not be stopped: {pids}.") from None
    say(
        {
            Stopped.NOTHING_RAN: f"No server runs in {files.data_dir}.",
            Stopped.LEFTOVERS: "The server had crashed; the processes it left are gone.",
            Stopped.GRACEFULLY: "The server has stopped.",
            Stopped.KILLED: (
                f"The server did not stop within {_GRACE_S:.0f} s and was killed. "
                "Acknowledged writes are safe; the next start recovers them."
            ),
        }[outcome]
    )
