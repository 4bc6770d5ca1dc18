"""Python environments of the systems to compare with: pinned, made once, kept in ``.bench``."""

import shutil
import subprocess
import sys
from pathlib import Path

from scripts.bench.text_vectors import CACHE

_FOLDER = CACHE / "peers"
_LIMIT_S = 900


class NotToBeHad(Exception):
    """A system cannot be compared with on this machine; the message is the reason."""


def environment(name: str, packages: tuple[str, ...]) -> Path:
    """The ``bin`` folder of an environment that holds these packages; made the first time.

    Args:
        name: Of its folder.
        packages: Requirements with exact versions.

    Raises:
        NotToBeHad: It could not be made.
    """
    folder = (_FOLDER / name).absolute()
    stamp = folder / "installed.txt"
    wanted = "\n".join((sys.version, *packages))
    if stamp.exists() and stamp.read_text() == wanted:
        return folder / "venv" / "bin"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"Installing {', '.join(packages)} ...", file=sys.stderr, flush=True)
    _run([sys.executable, "-m", "venv", str(folder / "venv")])
    _run([str(folder / "venv/bin/pip"), "install", "--quiet", "--disable-pip-version-check", *packages])
    stamp.write_text(wanted)
    return folder / "venv" / "bin"


def _run(command: list[str]) -> None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotToBeHad(f"it could not be installed: {error}") from error
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise NotToBeHad(f"it could not be installed: {said}")
