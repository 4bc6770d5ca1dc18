"""What a disk may still hold after a loss of power, for a folder whose owner runs in this process.

The model is POSIX at its least: of a file survives what it held at its last fsync, of a folder the names it
held at its last fsync. What came later may survive or not, each change by itself: a name that was given,
taken or moved (a rename happened wholly or not at all), and a file's bytes, which may be the old ones, the
new ones, cut short, or zeros. Python's calls are recorded by wrapping `os`; native code may write as it
likes, since what it wrote counts for nothing before an fsync from Python.
"""

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_CALLS = ("open", "write", "fsync", "rename", "replace", "unlink", "remove", "mkdir", "rmdir")
# A folder's number, and a name in it.
_Place = tuple[int, str]


class KilledError(BaseException):
    """The process is dead: it asked the disk for something after its end."""


class DurableImage:
    """Follows the files under one folder. Files are known by inode, so a rename changes no content."""

    def __init__(self, root: Path, vault: Path) -> None:
        """Begin with everything that is there, as durable.

        Args:
            root: The folder to follow.
            vault: An empty folder of the same file system, for links that keep inode numbers from being
                used again.
        """
        self.root, self._vault = root.resolve(), vault
        self.dead = False
        self._lock = threading.RLock()
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._folders: dict[int, int] = {}
        for folder, _, files in os.walk(self.root):
            self._keep_names(Path(folder))
            for name in files:
                self._keep_content(Path(folder, name))

    def close(self) -> None:
        """Forget everything."""
        for descriptor in self._folders.values():
            os.close(descriptor)
        self._folders.clear()

    @contextmanager
    def watching(self, before: Callable[[str], None]) -> Iterator[None]:
        """Record what this process asks of the disk, and call ``before`` ahead of each change under the root.

        While ``dead`` is true every such change raises `KilledError` and nothing happens. The disk itself is
        asked for no fsync, wherever: that would only take time.
        """
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "fsync", self._synced)
            for name in _CALLS:
                patched.setattr(os, name, self._wrapped(name, before))
            yield

    def _wrapped(self, name: str, before: Callable[[str], None]) -> Callable[..., Any]:
        original = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            reads = name == "open" and not args[1] & os.O_CREAT
            path = None if reads else self._path(args[0], kwargs.get("dir_fd"))
            if path is None:
                return original(*args, **kwargs)
            if not self.dead:
                before(f"{name} {path}")
            # ``before`` may have been the end.
            if self.dead:
                raise KilledError
            return original(*args, **kwargs)

        return call

    def _path(self, given: Any, folder: int | None) -> str | None:
        """The path under the root that a call concerns, or None."""
        if isinstance(given, int):
            path = str(_open_path(given).readlink())
        elif folder is not None:
            path = f"{_open_path(folder).readlink()}/{os.fsdecode(given)}"
        else:
            path = os.path.abspath(os.fsdecode(given))  # noqa: PTH100  (`resolve` would follow links)
        root = str(self.root)
        return os.path.relpath(path, root) if path == root or path.startswith(f"{root}/") else None

    def _synced(self, descriptor: int) -> None:
        path = _open_path(descriptor)
        if self._path(descriptor, None) is None:
            return
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self._keep_names(path)
        else:
            self._keep_content(path)

    def _keep_content(self, path: Path) -> None:
        with self._lock:
            self._pin(path)
            self._contents[path.stat().st_ino] = path.read_bytes()

    def _keep_names(self, path: Path) -> None:
        with self._lock:
            self._pin(path)
            names = _names_in(path)
            for name in names:
                self._pin(path / name)
            self._names[path.stat().st_ino] = names

    def _pin(self, path: Path) -> None:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            if found.st_ino not in self._folders:
                self._folders[found.st_ino] = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        elif not (link := self._vault / str(found.st_ino)).exists():
            os.link(path.resolve(), link)

    # Survivors.

    def write_survivor(self, target: Path, random: np.random.Generator) -> None:
        """Write into a new folder one of the states that a loss of power at this moment may leave."""
        with self._lock:
            now = {Path(folder).stat().st_ino: Path(folder) for folder, _, _ in os.walk(self.root)}
            names = {number: _names_in(path) for number, path in now.items()}
            bytes_now = {
                number: (path / name).read_bytes()
                for folder, path in now.items()
                for name, number in names[folder].items()
                if number not in names
            }
            # Now and then everything unsynced is lost, or every name survives: the extremes find most.
            share = float(random.choice([0.0, 0.5, 0.5, 1.0]))
            listings = {number: dict(kept) for number, kept in self._names.items()}
            for change in self._changes(names):
                if random.random() < share:
                    for folder, name in change:
                        _set(listings.setdefault(folder, {}), name, names.get(folder, {}).get(name))
            for number in {*names, *self._folders}:
                listings.setdefault(number, {})
            self._write_folder(self.root.stat().st_ino, target, listings, bytes_now, random)

    def _changes(self, names: dict[int, dict[str, int]]) -> list[set[_Place]]:
        """Places whose names changed since they were durable; those that one rename ties together are one."""
        changes: list[tuple[set[int], set[_Place]]] = []
        for folder in sorted({*names, *self._names}):
            old, new = self._names.get(folder, {}), names.get(folder, {})
            for name in sorted({*old, *new}):
                files = {listing[name] for listing in (old, new) if name in listing}
                if old.get(name) == new.get(name):
                    continue
                places = {(folder, name)}
                tied = [change for change in changes if change[0] & files]
                changes = [change for change in changes if change not in tied]
                changes.append((files.union(*(t[0] for t in tied)), places.union(*(t[1] for t in tied))))
        return [places for _, places in changes]

    def _write_folder(
        self,
        number: int,
        target: Path,
        listings: dict[int, dict[str, int]],
        bytes_now: dict[int, bytes],
        random: np.random.Generator,
    ) -> None:
        target.mkdir()
        for name, entry in sorted(listings[number].items()):
            if entry in listings:
                self._write_folder(entry, target / name, listings, bytes_now, random)
            else:
                (target / name).write_bytes(
                    _survived(self._contents.get(entry), bytes_now.get(entry), random)
                )


def _open_path(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}")


def _names_in(path: Path) -> dict[str, int]:
    with os.scandir(path) as entries:
        return {entry.name: entry.inode() for entry in entries}


def _set(listing: dict[str, int], name: str, number: int | None) -> None:
    if number is None:
        listing.pop(name, None)
    else:
        listing[name] = number


def _survived(durable: bytes | None, now: bytes | None, random: np.random.Generator) -> bytes:
    """A file's bytes: those of its last fsync if nothing changed since, else one of what a disk may leave."""
    old = durable or b""
    if now is None or now == durable:
        return old
    cut = int(random.integers(len(now) + 1))
    outcomes = [old, now, now[:cut], bytes(len(now)), now[:cut] + bytes(len(now) - cut)]
    return outcomes[random.integers(len(outcomes))]
