"""Entry point: run a server on this machine until it is told to stop.

``python -m serve.main [--config FILE] [--host H] [--port P] [--data-dir DIR]``. Exit status: 0 after an
orderly stop; 2 for a mistake of the caller, in one sentence on stderr; 1 for anything else.

On SIGHUP the settings are read again, from the same places, and the gateways replaced by new ones.
"""

import argparse
import sys
from pathlib import Path

from cluster.logs import configure_logs
from serve.config import Settings, load_settings
from serve.server import run
from serve.signals import Wishes
from vectoray.core.errors import Conflict, InvalidRequest, VectorayError


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit status."""
    options = _parser().parse_args(arguments)
    wishes = Wishes()
    wishes.listen()

    def read_settings() -> Settings:
        overrides = {"data_dir": options.data_dir, "serve": {"host": options.host, "port": options.port}}
        return load_settings(options.config, overrides)

    try:
        run(read_settings, wishes)
    except (InvalidRequest, Conflict) as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 2
    except VectorayError as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serve.main", description="Run a Vectoray server.")
    parser.add_argument("--config", type=Path, help="YAML file of settings")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on")
    parser.add_argument("--data-dir", type=Path, help="folder of the server's data")
    return parser


if __name__ == "__main__":
    configure_logs()
    sys.exit(main())
