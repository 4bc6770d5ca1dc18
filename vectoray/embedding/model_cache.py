"""Keeps converted models on disk, whole or not at all, so that later starts need no torch.

A cached model is a folder: ``model.xml`` and ``model.bin`` (OpenVINO's format) and ``sha256``, which lists
their checksums. The folder's name carries everything the conversion depends on, so an upgrade makes a new
one. Knows nothing of how a model is converted or run.
"""

import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

_MODEL = "model.xml"
_PARTS = (_MODEL, "model.bin")
_CHECKSUMS = "sha256"

_log = structlog.get_logger(__name__)


def cached_model(
    cache_dir: Path, *, name: str, depends_on: tuple[str, ...], convert: Callable[[Path], None]
) -> Path:
    """The path of the converted model's ``.xml``, converting only if no sound copy is there.

    Several processes may do this at once: each converts into a folder of its own, and the first to finish
    is kept.

    Args:
        cache_dir: Made if it is missing.
        name: First part of the folder's name.
        depends_on: What a different conversion would be made from: weights, versions.
        convert: Writes the model to the given ``.xml`` path, with a ``.bin`` beside it.
    """
    key = hashlib.sha256("\n".join(depends_on).encode()).hexdigest()[:12]
    folder = cache_dir / f"{name}-{key}"
    if _is_sound(folder):
        return folder / _MODEL
    cache_dir.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    _log.info("embedding_model_converting", model=name, damaged=folder.exists())
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=cache_dir))
    try:
        fresh = scratch / "fresh"
        fresh.mkdir()
        convert(fresh / _MODEL)
        (fresh / _CHECKSUMS).write_text(_checksums(fresh))
        _sync(fresh)
        _publish(fresh, folder, aside=scratch / "damaged")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _log.info("embedding_model_converted", model=name, duration_s=round(time.monotonic() - started, 1))
    return folder / _MODEL


def _is_sound(folder: Path) -> bool:
    try:
        return (folder / _CHECKSUMS).read_text() == _checksums(folder)
    except (OSError, UnicodeDecodeError):
        return False


def _checksums(folder: Path) -> str:
    lines = []
    for part in _PARTS:
        with (folder / part).open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {part}\n")
    return "".join(lines)


def _publish(fresh: Path, folder: Path, *, aside: Path) -> None:
    """Give ``fresh`` its final name, unless another process has put a sound copy there meanwhile."""
    if _move(fresh, folder) or _is_sound(folder):
        return
    # Not found: another process is replacing the same damaged copy.
    with suppress(FileNotFoundError):
        folder.rename(aside)
    _move(fresh, folder)


def _move(fresh: Path, folder: Path) -> bool:
    """Rename durably; False if something is there already."""
    try:
        fresh.rename(folder)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise
    _sync_one(folder.parent)
    return True


def _sync(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
