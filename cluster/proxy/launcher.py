"""The program that Ray Serve runs as its HAProxy: brings the configuration under our rules, becomes HAProxy.

``launcher RULES HAPROXY <arguments of HAProxy>``. Ray Serve names the executable by a documented variable,
``RAY_SERVE_HAPROXY_BINARY_PATH``, and writes the configuration anew before each start, so the file is
rewritten in place: the arguments by which Ray Serve knows its HAProxy stay as they are.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from cluster.proxy.rewrite import RulesNotMet, rewrite
from cluster.proxy.rules import ProxyRules

REFUSAL = "refusal"
"""File beside the rules that says why HAProxy did not start the last time."""

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> NoReturn:
    """Become HAProxy, or say on stderr why not and end with 1."""
    rules_path, haproxy, *rest = arguments
    parent = os.getppid()
    try:
        bring_under_rules(_configuration(rest), Path(rules_path))
    except (RulesNotMet, OSError, ValueError) as error:
        _refuse(Path(rules_path), str(error))
    _end_with(parent)
    os.execv(haproxy, [haproxy, *rest])  # noqa: S606  (Ray Serve's own arguments, no shell)


def bring_under_rules(config: Path, rules_path: Path) -> None:
    """Rewrite the file ``config``.

    Raises:
        RulesNotMet: Its content cannot be brought under the rules; it is left as it is.
        OSError: A file cannot be read or written.
        ValueError: The rules cannot be read.
    """
    rewritten = rewrite(config.read_text(), ProxyRules.read(rules_path))
    temporary = config.with_suffix(".new")
    temporary.write_text(rewritten)
    temporary.rename(config)
    rules_path.with_name(REFUSAL).unlink(missing_ok=True)


def _configuration(arguments: list[str]) -> Path:
    if "-f" not in arguments[:-1]:
        raise RulesNotMet("Ray Serve started its proxy without naming a configuration")
    return Path(arguments[arguments.index("-f") + 1])


def _refuse(rules_path: Path, reason: str) -> NoReturn:
    message = f"The HTTP proxy was not started, because {reason}."
    sys.stderr.write(f"{message}\n")
    rules_path.with_name(REFUSAL).write_text(message)
    sys.exit(1)


def _end_with(parent: int) -> None:
    """See to it that HAProxy, which keeps its port, ends when who started it dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
