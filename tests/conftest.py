"""What all tests share: which database catalogs are in, Hypothesis profiles, plain logs.

Every Hypothesis profile repeats itself exactly, but the one that looks further.
"""

from collections.abc import Iterator
from pathlib import Path
from shutil import copy

import pytest
import structlog
from hypothesis import Phase, settings

from storage.catalog.database import migrate, open_database
from tests.postgresql import PostgreSQL

settings.register_profile(
    "quick",
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    # Making a failing example small can take minutes: the nightly profile does.
    phases=[Phase.explicit, Phase.generate],
)
settings.register_profile("check", settings.get_profile("quick"), max_examples=20)
settings.register_profile(
    "nightly", max_examples=3000, stateful_step_count=80, deadline=None, print_blob=True
)
settings.load_profile("quick")

# With Rich installed, structlog draws each traceback with all its locals, for a third of a second.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("sqlite", "postgresql"),
        default="sqlite",
        help="What catalogs are kept in, in tests that do not say themselves.",
    )


@pytest.fixture(scope="session")
def postgresql(request: pytest.FixtureRequest) -> Iterator[PostgreSQL | None]:
    """The server for ``--database=postgresql``; None with SQLite."""
    if request.config.getoption("database") == "sqlite":
        yield None
        return
    try:
        server = PostgreSQL()
    except FileNotFoundError as error:
        pytest.exit(str(error), returncode=2)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database whose tables are up to date, to be copied: making them takes a tenth of a second."""
    path = tmp_path_factory.mktemp("migrated") / "catalog.db"
    engine = open_database(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture
def database_url(postgresql: PostgreSQL | None, migrated: Path, tmp_path: Path) -> str:
    """A database for this test alone, with its tables."""
    if postgresql is not None:
        return postgresql.new_database()
    return f"sqlite:///{copy(migrated, tmp_path / 'cat alog%.db')}"


@pytest.fixture
def empty_database_url(postgresql: PostgreSQL | None, tmp_path: Path) -> str:
    """A database without tables."""
    return _empty(postgresql, tmp_path / "empty.db")


@pytest.fixture
def other_empty_database_url(postgresql: PostgreSQL | None, tmp_path: Path) -> str:
    """A second database without tables."""
    return _empty(postgresql, tmp_path / "another.db")


@pytest.fixture
def events_url(postgresql: PostgreSQL | None, tmp_path: Path) -> str:
    """A database for the event log of this test, without tables."""
    return _empty(postgresql, tmp_path / "events.db")


def _empty(postgresql: PostgreSQL | None, path: Path) -> str:
    return f"sqlite:///{path}" if postgresql is None else postgresql.empty_database()
