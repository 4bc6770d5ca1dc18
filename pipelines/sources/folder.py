"""The documents in a folder of this machine. Reads names and sizes, no contents."""

import os
from collections.abc import Iterator
from pathlib import Path

from pipelines.parse import ParseError, media_type_of
from pipelines.sources.document import (
    NO_FORMAT,
    NOT_REGULAR,
    OUTSIDE,
    FileDocument,
    Skipped,
    Unread,
    check_size,
    shown,
)
from vectoray.core.errors import InvalidRequest


class LocalFolder:
    """The documents below a folder, or one document, in order of their names; a `Source`.

    Hidden files and folders are passed over. Links to files in the folder are followed, links to folders are
    not, so that a circle of links ends. The names of one folder, not of those below it, are held at a time.
    """

    def __init__(self, root: Path, *, max_file_bytes: int) -> None:
        """Name a folder or file; nothing is read before it is listed."""
        self._given = root
        self._max_file_bytes = max_file_bytes

    def __iter__(self) -> Iterator[FileDocument | Unread]:
        """List what there is.

        Raises:
            InvalidRequest: There is no such file or folder.
        """
        if not self._given.exists():
            raise InvalidRequest(f"There is no file or folder '{self._given}'.")
        path = self._given.resolve()
        if path.is_dir():
            yield from self._below(path)
        else:
            yield self._look_at(path, path.parent)

    def _below(self, root: Path) -> Iterator[FileDocument | Unread]:
        opened = [_names(root, root)]
        while opened:
            found = next(opened[-1], None)
            if found is None:
                opened.pop()
            elif isinstance(found, Unread):
                yield found
            elif not found.is_dir():
                yield self._look_at(found, root)
            elif found.is_symlink():
                yield Skipped(shown(found.relative_to(root).as_posix()), "A link to a folder.")
            else:
                opened.append(_names(found, root))

    def _look_at(self, path: Path, root: Path) -> FileDocument | Unread:
        source = path.relative_to(root).as_posix()
        if not source.isprintable():
            return Unread(shown(source), "The name of the file is not valid text; rename it.")
        if media_type_of(path) is None:
            return Skipped(source, NO_FORMAT)
        try:
            _check(path, root, self._max_file_bytes)
        except ParseError as error:
            return Unread(source, error.message)
        return FileDocument(uri=path.as_uri(), source=source, path=str(path), root=str(root))


def _check(path: Path, root: Path, max_bytes: int) -> None:
    """What `FileDocument.read` will refuse is known before, but for what changes meanwhile."""
    if not path.is_file():
        raise ParseError(NOT_REGULAR)
    try:
        if not Path(os.path.realpath(path)).is_relative_to(root):
            raise ParseError(OUTSIDE)
        size_bytes = path.stat().st_size
    except OSError as error:
        raise ParseError(f"The file cannot be read: {error.strerror}.") from None
    check_size(size_bytes, max_bytes)


def _names(folder: Path, root: Path) -> Iterator[Path | Unread]:
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        source = folder.relative_to(root).as_posix()
        yield Unread(shown(source), f"The folder cannot be read: {error.strerror}.")
    else:
        yield from found
