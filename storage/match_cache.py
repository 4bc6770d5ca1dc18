"""Keeps which rows of a segment meet the filters that were asked lately: the rows never change."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vectoray.core.filters import Filter

BoolArray = npt.NDArray[np.bool_]

# A filter costs a byte for each row of the segment, and up to eight more for each row that it matches.
_FILTERS = 16


class Matches:
    """The rows that meet a condition."""

    def __init__(self, mask: BoolArray) -> None:
        """Wrap them.

        Args:
            mask: bool, shape (n,).
        """
        self.mask = mask
        self.count = int(np.count_nonzero(mask))

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """Their numbers, sorted."""
        return np.flatnonzero(self.mask)


def key_of(condition: Filter) -> str:
    """What tells a condition from every other one; equality does not, as 1, 1.0 and True are equal."""
    return repr(condition)


class MatchCache:
    """The latest few conditions, with their rows. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._matches: OrderedDict[str, Matches] = OrderedDict()

    def known_count(self, key: str) -> int | None:
        """How many rows meet a condition; None if that would have to be computed."""
        found = self._matches.get(key)
        return None if found is None else found.count

    def get(self, key: str, compute: Callable[[], BoolArray]) -> Matches:
        """The rows of a condition, computed if they are not here."""
        with self._lock:
            found = self._matches.get(key)
            if found is not None:
                self._matches.move_to_end(key)
                return found
        # Not under the lock: two threads may compute the same, others need not wait for it.
        found = Matches(compute())
        with self._lock:
            self._matches[key] = found
            while len(self._matches) > _FILTERS:
                self._matches.popitem(last=False)
        return found
