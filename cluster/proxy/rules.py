"""What the launcher imposes on HAProxy, kept in a file beside its configuration.

Imports little: the launcher runs each time HAProxy is started or reloaded.
"""

import json
from pathlib import Path
from typing import NamedTuple


class ProxyRules(NamedTuple):
    """How HAProxy must run, whatever the configuration says that Ray Serve wrote for it.

    Attributes:
        listen: Address and port for clients, such as ``127.0.0.1:8000`` or ``::1:8000``.
        loopback_only: Whether nothing may listen anywhere else than on this machine's loopback.
        max_in_flight: Requests that one gateway has at once; more wait.
        max_streams: Streams of events that one gateway has at once besides; more wait.
        max_queued: Requests that may wait for all gateways together; more are refused.
        queue_timeout_ms: How long a request waits before it is refused.
        silence_timeout_ms: How long a gateway may send nothing while a client waits, before it is given up.
        error_pages: Status that HAProxy would answer by itself, and the file with what it answers instead.
    """

    listen: str
    loopback_only: bool
    max_in_flight: int
    max_streams: int
    max_queued: int
    queue_timeout_ms: int
    silence_timeout_ms: int
    error_pages: dict[str, str]

    def write(self, path: Path) -> None:
        """Replace the file at ``path`` at once."""
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(self._asdict(), indent=2))
        temporary.rename(path)

    @classmethod
    def read(cls, path: Path) -> "ProxyRules":
        """What `write` wrote."""
        return cls(**json.loads(path.read_text()))
