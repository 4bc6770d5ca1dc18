"""The API pages say what a running server says."""

import pytest

from scripts.transcripts import run


@pytest.mark.timeout(300)
def test_a_running_server_answers_as_the_pages_show(capsys: pytest.CaptureFixture[str]) -> None:
    status = run.main(["--check"])
    assert status == 0, capsys.readouterr().out
