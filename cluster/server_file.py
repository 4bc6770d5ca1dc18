"""``<data>/run/server.json``: how other processes of this machine find a running server."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vectoray.core.errors import Unavailable

_NAME = Path("run", "server.json")


@dataclass(frozen=True, slots=True)
class ServerFile:
    """What a server tells about itself once it answers.

    Attributes:
        started_at: RFC 3339.
        ray_address: Host and port at which a driver joins Ray.
        ray_token_path: File with the secret that Ray's ports ask for.
        session_dir: Ray's folder of logs and sockets.
        settings: What a driver that joins needs of the server's settings, as JSON values.
    """

    pid: int
    started_at: str
    version: str
    api_url: str
    docs_url: str
    dashboard_url: str | None
    ray_address: str
    ray_token_path: str
    data_dir: str
    session_dir: str
    settings: dict[str, Any] = field(default_factory=dict)

    def write(self) -> None:
        """Put the file into its data folder, at once, readable by its owner alone."""
        path = Path(self.data_dir) / _NAME
        temporary = path.with_suffix(".tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file, indent=2)
        temporary.rename(path)

    @staticmethod
    def remove(data_dir: Path) -> None:
        """Take the file away, if it is there."""
        (data_dir / _NAME).unlink(missing_ok=True)

    @classmethod
    def read(cls, data_dir: Path) -> "ServerFile":
        """The file of the server that runs on this data folder.

        Raises:
            Unavailable: No server runs on it.
        """
        try:
            return cls(**json.loads((data_dir / _NAME).read_text()))
        except (FileNotFoundError, ValueError, TypeError) as error:
            raise Unavailable("No server runs on this data folder; start one with 'vectoray up'.") from error
