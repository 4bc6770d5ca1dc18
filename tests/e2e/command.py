"""The command that a user types."""

import subprocess
import sys


def vectoray(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run it to its end."""
    command = [sys.executable, "-m", "vectoray.cli.main", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
