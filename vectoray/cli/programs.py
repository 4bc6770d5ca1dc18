"""The server-side programs that commands start as processes."""

import sys
from dataclasses import dataclass
from importlib.util import find_spec

from vectoray.cli.exit_codes import CommandFailed, ExitCode

# -P: a folder called "serve" or "storage" in the user's working directory must not shadow ours.
_MODULE = (sys.executable, "-P", "-m")


@dataclass(frozen=True, slots=True)
class Programs:
    """Command lines, without the arguments that a command adds. Tests start others."""

    server: tuple[str, ...] = (*_MODULE, "serve.main")
    ingest: tuple[str, ...] = (*_MODULE, "pipelines.run")
    users: tuple[str, ...] = (*_MODULE, "serve.users")


def installed_programs() -> Programs:
    """The programs of the ``[server]`` extra.

    Raises:
        CommandFailed: It is not installed.
    """
    if find_spec("ray") is None or find_spec("fastapi") is None:
        raise CommandFailed(
            'This command needs the server packages: pip install "vectoray[server]"', ExitCode.USAGE
        )
    return Programs()
