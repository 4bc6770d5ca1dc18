"""Entry point: the administration of users, for whoever may write the catalog.

``python -m serve.users [--config FILE] [--data-dir DIR] list [--json] | make-admin EMAIL | activate EMAIL |
deactivate EMAIL``. A server that runs notices at once. Exit status: 0 when done; 2 for a mistake of the
caller, in one sentence on stderr; 1 for anything else.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import orjson

from serve.config import Settings, load_settings
from serve.service.emails import normalised_email
from storage.catalog import Accounts, Database
from vectoray.core.accounts import User
from vectoray.core.errors import InvalidRequest, VectorayError

_CHANGES: Mapping[str, tuple[Callable[[User], User], str]] = {
    "make-admin": (lambda user: replace(user, is_admin=True), "is an administrator"),
    "activate": (lambda user: replace(user, is_active=True), "is active"),
    "deactivate": (
        lambda user: replace(user, is_active=False),
        "is not active; no credential of theirs counts",
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Do one thing. Returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings(options.config, {"data_dir": options.data_dir})
        lines = asyncio.run(_run(settings, options))
    except VectorayError as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 2 if isinstance(error, InvalidRequest) else 1
    for line in lines:
        print(line)  # noqa: T201
    return 0


async def _run(settings: Settings, options: argparse.Namespace) -> list[str]:
    if settings.catalog_url is None and not (settings.data_dir / "catalog.db").exists():
        raise InvalidRequest(
            f"There is no catalog in '{settings.data_dir}': name the server's folder with --data-dir, or "
            "start the server once."
        )
    database = await Database.open(settings.database_url)
    try:
        accounts = Accounts(database)
        if options.action == "list":
            users = await accounts.users()
            return (
                [orjson.dumps([_facts(user) for user in users]).decode()] if options.json else _table(users)
            )
        change, outcome = _CHANGES[options.action]
        changed = await accounts.change(normalised_email(options.email) or "", change)
    finally:
        await database.dispose()
    if changed is None:
        raise InvalidRequest("No user has this email; 'vectoray users list' shows all.")
    return [f"{changed.email} {outcome}."]


def _facts(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "is_admin": user.is_admin,
        "is_active": user.is_active,
        "email_verified": user.email_verified,
        "created_at": user.created_at,
    }


def _table(users: Sequence[User]) -> list[str]:
    """One line for each user. Names are left out: anybody may have registered any characters."""
    return [
        "  ".join(
            (
                f"{user.created_at:%Y-%m-%d}",
                "admin" if user.is_admin else "user ",
                "active  " if user.is_active else "inactive",
                "proven  " if user.email_verified else "unproven",
                user.email,
            )
        )
        for user in users
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serve.users", description="Administer users.")
    parser.add_argument("--config", type=Path, help="YAML file of settings")
    parser.add_argument("--data-dir", type=Path, help="folder of the server's data")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list").add_argument("--json", action="store_true")
    for action in _CHANGES:
        actions.add_parser(action).add_argument("email")
    return parser


if __name__ == "__main__":
    sys.exit(main())
