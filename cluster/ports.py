"""Finds ports that nobody listens on."""

import socket

from vectoray.core.errors import Unavailable


def free_port(preferred: int) -> int:
    """``preferred`` if nobody listens there on 127.0.0.1, else a free one.

    Raises:
        Unavailable: No port is free.
    """
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Unavailable("No port is free on 127.0.0.1.")
