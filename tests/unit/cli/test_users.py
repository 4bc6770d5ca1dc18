"""`vectoray users` hands what it is asked to the program that does it."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vectoray.cli.main import app
from vectoray.cli.programs import Programs

# Says what it was given, on stderr and by its status: the command line leaves stdout to it.
STUB = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('\\n'.join(sys.argv[2:])); sys.exit({})"


def run(told: Path, status: int, *arguments: str) -> int:
    programs = Programs(users=(sys.executable, "-c", STUB.format(status), str(told)))
    return CliRunner().invoke(app, ["users", *arguments], obj=programs).exit_code


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["list", "--json"], ["make-admin", "a@b.c"], ["deactivate", "a@b.c"], ["activate", "a@b.c"]],
)
def test_the_program_gets_the_folder_and_what_to_do(tmp_path: Path, arguments: list[str]) -> None:
    told = tmp_path / "told"
    assert run(told, 0, *arguments, "--data-dir", str(tmp_path)) == 0
    assert told.read_text().splitlines() == ["--data-dir", str(tmp_path), *arguments]


@pytest.mark.parametrize("status", [1, 2])
def test_its_exit_code_is_ours(tmp_path: Path, status: int) -> None:
    assert run(tmp_path / "told", status, "make-admin", "a@b.c") == status
