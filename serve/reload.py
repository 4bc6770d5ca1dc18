"""Which settings may change while a server runs, and where it says how reading them again went."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from serve.config import Settings
from vectoray.core.errors import InvalidRequest
from vectoray.embedding.settings import WITH_SECRETS

# Sections that gateways and ingestion runs read when they start, and what of them holds for longer.
_CHANGEABLE_SECTIONS: dict[str, set[str]] = {
    "serve": {"host", "port"},
    "accounts": set(),
    "pipelines": {"embedding_model"},
}
# Of the cluster, what gateways and their proxy read.
_CHANGEABLE = frozenset(
    {
        "cluster.gateway_replicas",
        "cluster.gateway_concurrency",
        "cluster.gateway_queue_length",
        "cluster.gateway_queue_timeout_s",
        "cluster.shard_timeout_s",
        "cluster.shards_per_collection",
    }
)


def check_changes(running: Settings, wanted: Settings) -> None:
    """Refuse what only a new start can change.

    Raises:
        InvalidRequest: Something of that kind differs; the message names it.
    """
    fixed = sorted(name for name in _changed(running, wanted) if not _changeable(name))
    if fixed:
        raise InvalidRequest(
            f"These settings cannot change while the server runs: {', '.join(fixed)}. Nothing was changed. "
            "Stop the server and start it again, or take them back."
        )


def _changed(running: Settings, wanted: Settings) -> Iterator[str]:
    # With secrets, where they could not be told apart without.
    now, then = (
        _flat(settings.model_dump(mode="json", context=WITH_SECRETS)) for settings in (running, wanted)
    )
    return (name for name in now | then if now.get(name) != then.get(name))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _changeable(name: str) -> bool:
    section, _, key = name.partition(".")
    fixed = _CHANGEABLE_SECTIONS.get(section)
    return name in _CHANGEABLE or (fixed is not None and key not in fixed)


class ReloadOutcomes:
    """``<data>/run/reload.json``: the latest outcome, with a number that grows by one each time."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "run" / "reload.json"
        self._number = 0

    def clear(self) -> None:
        """Forget those of an earlier server."""
        self._path.unlink(missing_ok=True)

    def tell(self, problem: str | None) -> None:
        """Say how it went: None for well, else what was wrong."""
        self._number += 1
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"number": self._number, "problem": problem}))
        temporary.rename(self._path)
