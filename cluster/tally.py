"""Counts that many workers add to and their driver reads: an actor that ends with the driver."""

from collections import Counter
from typing import Any

import ray

_TIMEOUT_S = 5.0


class Tally:
    """Counts by name. Can be sent to workers.

    They are for people to watch: what a worker that dies had counted may be counted again by its successor.
    """

    def __init__(self) -> None:
        """Begin with nothing, on the Ray that this process has joined."""
        self._counts: Any = ray.remote(num_cpus=0)(_Counts).remote()

    def add(self, **counts: int) -> None:
        """Add to counts; does not wait."""
        self._counts.add.remote(counts)

    def read(self) -> dict[str, int]:
        """The counts so far.

        Raises:
            ray.exceptions.RayError: The actor is gone, or does not answer in time.
        """
        found: dict[str, int] = ray.get(self._counts.read.remote(), timeout=_TIMEOUT_S)
        return found


class _Counts:
    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, counts: dict[str, int]) -> None:
        self._counts.update(counts)

    def read(self) -> dict[str, int]:
        return dict(self._counts)
