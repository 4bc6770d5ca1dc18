"""The exit codes of every `vectoray` command, and the error that ends one.

==  =========================================================================================
0   Done. For `status`: the server runs and answers. For `down`: nothing runs (any more). For
    `ingest`: the run finished, even if some documents failed; those are listed.
1   Not done, though the command was fine: the server is not running or not reachable, runs
    already (`up`), failed, or ran out of time. For `jobs show --follow`: the job was not completed.
2   The command can never work as it is: a wrong option, an unknown collection, a busy port,
    an unwritable data directory, the server packages not installed.
==  =========================================================================================

`up` in the foreground ends with the server's own exit code, which follows the same table.
"""

from enum import IntEnum

from vectoray.core.errors import Conflict, InvalidRequest, NotFound, VectorayError


class ExitCode(IntEnum):
    """What the table above says."""

    OK = 0
    FAILURE = 1
    USAGE = 2


class CommandFailed(Exception):
    """Ends the command with a sentence on stderr.

    Attributes:
        message: What was wrong and what to do.
        exit_code: From the table above.
    """

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILURE) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def exit_code_of(error: VectorayError) -> ExitCode:
    """The exit code for an error that the client raised."""
    users_mistake = isinstance(error, InvalidRequest | NotFound | Conflict)
    return ExitCode.USAGE if users_mistake else ExitCode.FAILURE
