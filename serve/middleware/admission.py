"""Bounds how many requests a gateway works on at a time.

Requests beyond what a process can answer only wait in it: every one of them gets slower, and none fails until
all do. One that is refused at once costs little and can be sent again elsewhere or later.
"""

from vectoray.core.errors import Overloaded


class Admission:
    """Counts the requests that are being worked on, of all API families together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0

    def enter(self) -> None:
        """Count one more; `leave` must follow.

        Raises:
            Overloaded: There are as many as there may be.
        """
        if self._inside >= self._most:
            raise Overloaded("The server is working on as many requests as it may; try again in a moment.")
        self._inside += 1

    def leave(self) -> None:
        """One is done with."""
        self._inside -= 1
