"""A port for a server of a test."""

import random
import socket

# Below those that Linux gives to whoever does not choose: while a server starts, they come and go.
_CHOSEN_BY_NOBODY = range(20_000, 32_000)


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens.

    Raises:
        OSError: Somebody listens on each that was tried.
    """
    for port in random.sample(_CHOSEN_BY_NOBODY, 50):
        with socket.socket() as probe:
            # As servers do: a port that was just left is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port of 127.0.0.1 was free")
