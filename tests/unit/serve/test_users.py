"""The administration of users, on a catalog beside a server's."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest

from serve.users import main
from storage.catalog import Accounts, Database, sqlite_url
from tests.unit.storage.catalog.test_accounts import user
from vectoray.core.accounts import User

T = TypeVar("T")
EMAIL = "ann@example.com"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    _with_accounts(tmp_path, lambda accounts: accounts.add_user(user(EMAIL), None))
    return tmp_path


def _with_accounts(data_dir: Path, work: Any) -> Any:
    async def run() -> Any:
        database = await Database.open(sqlite_url(data_dir / "catalog.db"))
        try:
            return await work(Accounts(database))
        finally:
            await database.dispose()

    coroutine: Coroutine[Any, Any, Any] = run()
    return asyncio.run(coroutine)


def ann(data_dir: Path) -> User:
    found, _ = _with_accounts(data_dir, lambda accounts: accounts.by_email(EMAIL))
    assert isinstance(found, User)
    return found


def run(data_dir: Path, *arguments: str) -> int:
    return main(["--data-dir", str(data_dir), *arguments])


def test_a_user_becomes_an_administrator(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data_dir, "make-admin", " Ann@Example.com ") == 0
    assert capsys.readouterr().out == f"{EMAIL} is an administrator.\n"
    assert ann(data_dir).is_admin


def test_a_user_is_shut_out_and_let_in_again(data_dir: Path) -> None:
    assert run(data_dir, "deactivate", EMAIL) == 0
    assert not ann(data_dir).is_active
    assert run(data_dir, "activate", EMAIL) == 0
    assert ann(data_dir).is_active


def test_users_are_listed(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data_dir, "list") == 0
    assert capsys.readouterr().out == f"2026-01-02  user   active    unproven  {EMAIL}\n"
    assert run(data_dir, "list", "--json") == 0
    [listed] = orjson.loads(capsys.readouterr().out)
    assert (listed["email"], listed["is_admin"], listed["is_active"]) == (EMAIL, False, True)


@pytest.mark.parametrize("email", ["bob@example.com", "nonsense"])
def test_an_unknown_user_is_a_mistake(data_dir: Path, capsys: pytest.CaptureFixture[str], email: str) -> None:
    assert run(data_dir, "make-admin", email) == 2
    assert "No user has this email" in capsys.readouterr().err


def test_where_no_server_ever_ran_nothing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "list") == 2
    assert "There is no catalog" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
