"""A PostgreSQL server for the tests, from programs that are installed, in a folder of its own."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from storage.catalog.database import migrate, open_database

MISSING = (
    "PostgreSQL's programs (initdb, postgres) are not in PATH nor below /usr/lib/postgresql. "
    "Install them (Debian: apt install postgresql) and run this again."
)
_TEMPLATE = "migrated"
_STARTS_WITHIN_S = 30


class PostgreSQL:
    """A server that listens on loopback, loses its data with the tests, and so syncs nothing to the disk.

    Raises:
        FileNotFoundError: Its programs are not installed.
    """

    def __init__(self) -> None:
        programs = _programs()
        if programs is None:
            raise FileNotFoundError(MISSING)
        self._folder = Path(mkdtemp(prefix="vectoray-postgresql-"))
        # PostgreSQL refuses to run as root.
        user = next((name for name in ("postgres", "nobody") if _exists(name)), None)
        self._user = user if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        data = self._folder / "data"
        self._run(
            [programs / "initdb", "--pgdata", data, "--username", "tests", "--auth", "trust", "--no-sync"]
        )
        self._port = _free_port()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 200,
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("wb") as log:
            self._server = subprocess.Popen(
                [programs / "postgres", "-D", data, *arguments],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd="/",
            )
        self._numbers = count()
        try:
            self._wait()
            self._make_template()
        except BaseException:
            self.stop()
            raise

    def new_database(self) -> str:
        """The URL of a new database, whose tables are up to date."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self._url(name)

    def empty_database(self) -> str:
        """The URL of a new database without tables."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name}")
        return self._url(name)

    def stop(self) -> None:
        """End the server and remove its data."""
        self._server.kill()
        self._server.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make_template(self) -> None:
        self._execute(f"CREATE DATABASE {_TEMPLATE}")
        engine = open_database(self._url(_TEMPLATE))
        migrate(engine)
        engine.dispose()

    def _wait(self) -> None:
        until_s = time.monotonic() + _STARTS_WITHIN_S
        while True:
            try:
                self._execute("SELECT 1")
            except OperationalError:
                if time.monotonic() > until_s or self._server.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return

    def _execute(self, statement: str) -> None:
        engine = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://tests@127.0.0.1:{self._port}/{database}"

    def _run(self, command: list[str | Path]) -> None:
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd="/")


def _programs() -> Path | None:
    """The folder of the newest PostgreSQL here."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(versions, key=lambda path: float(path.parent.name), default=None)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
