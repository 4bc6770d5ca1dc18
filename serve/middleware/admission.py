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

    def enter(self) -> "Place":
        """Count one more, until its place is left.

        Raises:
            Overloaded: There are as many as there may be.
        """
        if self._inside >= self._most:
            raise Overloaded("The server is working on as many requests as it may; try again in a moment.")
        self._inside += 1
        return Place(self)

    def _leave(self) -> None:
        self._inside -= 1


class Place:
    """One of a bounded number of places, which is left once however often one says so.

    A stream of events leaves it when it begins: it waits, and works on nothing.
    """

    __slots__ = ("_admission",)

    def __init__(self, admission: Admission) -> None:
        self._admission: Admission | None = admission

    def leave(self) -> None:
        """Make room for another request."""
        if self._admission is not None:
            self._admission._leave()  # noqa: SLF001  (a place is a part of its admission)
            self._admission = None
