"""What the server's processes say is found where the documents say."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import RunningServer

pytestmark = pytest.mark.timeout(200)

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def events(running: RunningServer) -> list[dict[str, Any]]:
    """The events in the files that the documents name."""
    named = re.search(r"^\| `<session>/(\S+)` \| gateways", OPERATIONS.read_text(), re.MULTILINE)
    assert named
    files = Path(running.file.session_dir).glob(named[1])
    lines = [line for file in files for line in file.read_text(errors="replace").splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def wait_for(running: RunningServer, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        found = [event for event in events(running) if is_it(event)]
        if found:
            return found[0]
        time.sleep(0.1)
    pytest.fail("Nothing of that was logged.")


def test_the_embedder_says_which_device_it_has(running: RunningServer) -> None:
    started = wait_for(running, lambda event: event["event"] == "embedder_started")
    assert (started["level"], started["device"]) == ("info", "cpu")
