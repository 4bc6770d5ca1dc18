"""`vectoray reload` against the stub server."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import CommandLine


def test_reload_waits_until_the_server_has_done_it(vectoray: CommandLine) -> None:
    vectoray("up", "--detach")
    for number in (1, 2):
        done = vectoray("reload")
        assert done.exit_code == 0
        assert "settings as they are now" in done.output
        assert f'"number": {number}' in (vectoray.data_dir / "run" / "reload.json").read_text()
    vectoray("down")


@pytest.mark.parametrize(
    ("behaviour", "exit_code", "sentence"),
    [("stubborn", 2, "cannot change: serve.port."), ("fragile", 1, "ended before")],
)
def test_what_kept_the_server_from_it_is_told(
    vectoray: CommandLine, behaviour: str, exit_code: int, sentence: str
) -> None:
    vectoray.env["STUB"] = behaviour
    vectoray("up", "--detach")
    done = vectoray("reload")
    assert (done.exit_code, sentence in done.output) == (exit_code, True)
    vectoray("down")


def test_without_a_server_there_is_nothing_to_reload(tmp_path: Path, vectoray: CommandLine) -> None:
    done = vectoray("reload")
    assert (done.exit_code, "No server runs" in done.output) == (1, True)
