"""What a running server leaves in its data directory for others to find it: an address and a lock.

The lock, not the process id in the file, says whether a server runs: the kernel releases it however the
process ends, and a process id is given to another process some day.
"""

import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from vectoray.cli import processes
from vectoray.cli.exit_codes import CommandFailed, ExitCode
from vectoray.cli.processes import Process


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What the server wrote when it first answered.

    Attributes:
        started_at: RFC 3339.
        api_url: Such as ``http://127.0.0.1:8000``.
        dashboard_url: Ray's dashboard; None when it is off.
        ray_token_path: File with the token that the dashboard asks for.
        session_dir: Directory of the Ray session, which appears in the command line of its processes.
    """

    pid: int
    started_at: str
    version: str
    api_url: str
    docs_url: str
    dashboard_url: str | None
    ray_token_path: str | None
    session_dir: str | None

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> Self:
        """Read the file's JSON; raises KeyError, TypeError or ValueError for another form."""
        dashboard_url, session_dir = json["dashboard_url"], json["session_dir"]
        token_path = json.get("ray_token_path")
        return cls(
            pid=int(json["pid"]),
            started_at=str(json["started_at"]),
            version=str(json["version"]),
            api_url=str(json["api_url"]),
            docs_url=str(json["docs_url"]),
            dashboard_url=None if dashboard_url is None else str(dashboard_url),
            ray_token_path=None if token_path is None else str(token_path),
            session_dir=None if session_dir is None else str(session_dir),
        )


class ServerFiles:
    """The run files of one data directory.

    Args:
        data_dir: Need not exist.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.info_path = self.data_dir / "run" / "server.json"
        self.lock_path = self.data_dir / "run" / "server.lock"
        self.reload_path = self.data_dir / "run" / "reload.json"
        self.log_path = self.data_dir / "logs" / "server.log"

    def info(self) -> ServerInfo | None:
        """What the file says, which may be about a server that is gone; None without a readable one."""
        try:
            return ServerInfo.from_json(orjson.loads(self.info_path.read_bytes()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            raise self._foreign() from None
        except (ValueError, KeyError, TypeError):
            return None

    def locked(self) -> bool:
        """Whether a server holds the lock now.

        Asks for a shared lock, so that two who ask do not see each other.
        """
        try:
            lock = os.open(self.lock_path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except PermissionError:
            raise self._foreign() from None
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
            return True
        finally:
            os.close(lock)
        return False

    def owner(self) -> Process | None:
        """The process that holds the lock; None when nobody does.

        Raises:
            CommandFailed: The lock is held by a process that this user cannot see.
        """
        if not self.locked():
            return None
        info = self.info()
        candidates = [info.pid] if info else []
        for pid in (*candidates, *processes.all_pids()):
            process = processes.find(pid)
            if process and processes.has_open(process, self.lock_path):
                return process
        if not self.locked():
            return None
        raise self._foreign()

    def running(self) -> ServerInfo | None:
        """The server that holds the lock and has answered; None when there is none."""
        info, owner = self.info(), self.owner()
        return info if info and owner and info.pid == owner.pid else None

    def require_running(self) -> ServerInfo:
        """The server that runs.

        Raises:
            CommandFailed: There is none.
        """
        info = self.running()
        if info is None:
            raise CommandFailed(
                f"No server runs in {self.data_dir}. Start one with: vectoray up --data-dir {self.data_dir}"
            )
        return info

    def remove_info(self) -> None:
        """Remove what a server that is gone left behind.

        The lock file stays: unlinking a lock that another process is about to take would let two servers in.
        """
        if not self.locked():
            self.info_path.unlink(missing_ok=True)

    def _foreign(self) -> CommandFailed:
        return CommandFailed(f"The server in {self.data_dir} belongs to another user.", ExitCode.USAGE)
