"""What all tests share: which database catalogs are in, Hypothesis profiles, plain logs.

Every Hypothesis profile repeats itself exactly, but the one that looks further.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import Phase, settings

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


@pytest.fixture
def database_url(postgresql: PostgreSQL | None, tmp_path: Path) -> str:
    """A database for this test alone. Its tables may be there, or are made by who opens it first."""
    if postgresql is not None:
        return postgresql.new_database()
    return f"sqlite:///{tmp_path / 'cat alog%.db'}"


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
