"""When to try again what failed: after a random part of a doubling wait, or when the other side says."""

import math
import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0


class Attempts:
    """The attempts at one thing.

    Waits are random between zero and a bound that doubles ("full jitter", Brooker, "Exponential Backoff and
    Jitter", 2015), so that those who failed together do not come back together.
    """

    def __init__(self, *, give_up_s: float) -> None:
        """Begin now, and give up after ``give_up_s``."""
        self._end_s = time.monotonic() + give_up_s
        self._bound_s = _FIRST_WAIT_S

    def next_wait_s(self, asked_s: float | None = None) -> float | None:
        """Seconds to wait before the next attempt; None: give up.

        Args:
            asked_s: What the other side asked for: no attempt comes earlier.
        """
        # Not for secrets; and those who are all told the same time shall not come at the same time either.
        wait_s = (asked_s or 0.0) + random.uniform(0, self._bound_s)  # noqa: S311
        self._bound_s = min(2 * self._bound_s, _LONGEST_WAIT_S)
        return wait_s if time.monotonic() + wait_s < self._end_s else None


def retry_after_s(value: str | None) -> float | None:
    """The seconds that a ``Retry-After`` header asks for, from seconds or a date; None if it says nothing."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (date - datetime.now(UTC)).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else None
