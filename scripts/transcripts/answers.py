"""What a page shows of an answer: the answer itself, but for what differs from run to run.

Ids, tokens, times and durations stay as the page has them; where it sends one of its ids, the one of this run
is sent.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d+)Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

MEASURED = frozenset(
    {
        *("uptime", "uptime_s", "version", "query_time_ms", "latency_ms", "created_at_ms", "updated_at_ms"),
        # Of queries that other gateways answered, some are counted later.
        *("date", "queries", "latency", "total_queries", "avg_query_latency_ms", "avg_latency_ms"),
        *("cpu_usage", "memory_usage", "disk_usage", "pending_urls", "crawling_urls", "encoding_urls"),
        # Where a chunk lies follows from its id.
        *("shard", "newest_sequence"),
    }
)
"""Keys whose values are never the same; only their type is."""

SECRETS = frozenset({"access_token", "refresh_token", "raw_key", "share_token"})
"""Keys whose values nobody can know beforehand, and that are sent again later."""


class Answers:
    """Brings the answers of one run into the form of one page."""

    def __init__(
        self,
        *,
        known: Mapping[str, str] | None = None,
        measured: frozenset[str] = MEASURED,
        tolerance: float = 1e-5,
    ) -> None:
        """Nothing is known of this run yet, but for ``known``.

        Args:
            known: What this run has in the place of what the page shows.
            measured: Keys whose values are shown as the page has them.
            tolerance: Relative: numbers as close as that are the same.
        """
        self._measured = measured
        self._tolerance = tolerance
        self._own = dict(known or {})

    def to_send(self, text: str) -> str:
        """A part of a request, with what this run has in the place of what the page shows."""
        for shown, own in self._own.items():
            text = text.replace(shown, own)
        return text

    def to_show(self, shown: Any, got: Any, key: str = "") -> Any:
        """What the page should show: ``shown`` itself if it stands for ``got``.

        Args:
            shown: What the page has.
            got: What was answered.
            key: Under which it was.
        """
        if isinstance(shown, dict) and isinstance(got, dict):
            return {name: self.to_show(shown.get(name), value, name) for name, value in got.items()}
        if isinstance(shown, list) and isinstance(got, list):
            padded = [*shown, *([None] * (len(got) - len(shown)))]
            return [self.to_show(one, other, key) for one, other in zip(padded, got, strict=False)]
        if self._stand_in(shown, got, key):
            return shown
        return got

    def _stand_in(self, shown: Any, got: Any, key: str) -> bool:
        if type(shown) is not type(got):
            return False
        if key in self._measured:
            return True
        if isinstance(got, float):
            return math.isclose(shown, got, rel_tol=self._tolerance)
        if isinstance(got, str):
            return self._same_text(shown, got, key)
        same: bool = shown == got
        return same

    def _same_text(self, shown: str, got: str, key: str) -> bool:
        if key in SECRETS:
            return self._own.setdefault(shown, got) == got
        if _UUID.search(shown) and _UUID.sub("", shown) == _UUID.sub("", got):
            # One id of the page is one of the run, wherever it stands.
            ids = zip(_UUID.finditer(shown), _UUID.finditer(got), strict=True)
            return all(self._own.setdefault(one[0], other[0]) == other[0] for one, other in ids)
        if self.to_send(shown) == got:
            return True
        times = _TIME.fullmatch(shown), _TIME.fullmatch(got)
        if times[0] and times[1]:
            return len(times[0][1]) == len(times[1][1])
        return False
