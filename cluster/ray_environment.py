"""The environment variables under which every Ray process of a server runs.

Imports no Ray: they must be set before Ray is imported.
"""

import os
import secrets
from pathlib import Path

# Requests and answers of a shard; Ray's default of 4 MB is less than one allowed request body.
_MAX_MESSAGE_BYTES = 512 * 2**20

SERVE_VARIABLES = {
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(_MAX_MESSAGE_BYTES),
    # User code and the router in the replica's own loop: two thread hops less a call.
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # Its warnings name files of the server.
    "LANCE_LOG": "error",
}


def make_token(path: Path) -> None:
    """Make the secret that Ray's ports ask for, readable by its owner alone, unless it is there."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))


def apply(token_path: Path) -> None:
    """Set the variables in this process; its children inherit them.

    Ray's own ports listen on every interface: the token is what protects them.
    """
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.pop("RAY_AUTH_TOKEN", None)
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token_path)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.update(SERVE_VARIABLES)
