"""Where a snapshot lies: a local folder, or a prefix of a bucket. Knows files, not what is in them.

A bucket is addressed by a URI of `pyarrow.fs`: ``s3://bucket/prefix`` or ``gs://bucket/prefix``, with options
such as ``?region=`` or ``?endpoint_override=``. It may carry credentials, so no error shows any part of it.
"""

import errno
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from pyarrow import fs

from storage import files
from storage.buckets import bucket_errors, open_bucket
from vectoray.core.errors import Conflict, InvalidRequest, SnapshotNotFound, Unavailable

Location = str | Path
Write = Callable[[str, Iterable[bytes]], None]
"""Writes one file: its path, parts separated by ``/``, and its bytes in blocks."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKETS = {"s3", "gs", "gcs"}
# What a person can mend by naming another folder.
_FORBIDDEN = {
    errno.EACCES,
    errno.EEXIST,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
_BLOCK_BYTES = 1 << 22


class SnapshotStore(Protocol):
    """One place that holds one snapshot, or nothing."""

    def draft(self) -> AbstractContextManager[Write]:
        """A function that writes files, here once the context ends; after an error nothing is left of them.

        Raises:
            Conflict: Something lies here already, or another draft is being written.
            InvalidRequest: The place cannot be used.
            StorageFull, Unavailable: Of a bucket.
            OSError: Of a disk.
        """

    def sizes(self) -> dict[str, int]:
        """Every file that lies here, and its size in bytes. Nothing when there is no such place."""

    def read(self, path: str) -> Iterator[bytes]:
        """A file's bytes, in blocks that fit in memory.

        Raises:
            SnapshotNotFound: There is no such file.
        """


def open_store(location: Location) -> SnapshotStore:
    """The place that a path, or a URI, names.

    Raises:
        InvalidRequest: It is a URI that cannot be used.
    """
    scheme = _SCHEME.match(location) if isinstance(location, str) else None
    if scheme is None:
        return _Folder(Path(location))
    name = scheme[1].lower()
    if name in _BUCKETS:
        return _Bucket(str(location))
    parts = urlsplit(str(location))
    if name != "file" or parts.netloc not in {"", "localhost"}:
        raise InvalidRequest("A snapshot lies in a local folder, or at an s3://, gs:// or file:// URI.")
    return _Folder(Path(unquote(parts.path)))


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    @contextmanager
    def draft(self) -> Iterator[Write]:
        temporary = self._begin()
        try:

            def write(path: str, blocks: Iterable[bytes]) -> None:
                target = temporary / path
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                files.write_blocks(target, blocks)

            yield write
            files.publish_new_dir(temporary, self._folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def _begin(self) -> Path:
        try:
            files.refuse_if_taken(self._folder)
            files.make_dir_durable(self._folder.parent)
            return files.make_temporary_dir(self._folder.parent)
        except OSError as error:
            if error.errno in _FORBIDDEN:
                raise InvalidRequest(f"The snapshot's folder cannot be made ({error.strerror}).") from None
            raise

    def sizes(self) -> dict[str, int]:
        with files.disk_errors("reading a snapshot"):
            paths = [path for path in self._folder.rglob("*") if not path.is_dir()]
            return {path.relative_to(self._folder).as_posix(): path.lstat().st_size for path in paths}

    def read(self, path: str) -> Iterator[bytes]:
        with files.disk_errors("reading a snapshot"):
            try:
                yield from files.read_blocks(self._folder / path)
            except (FileNotFoundError, NotADirectoryError):
                raise _not_found() from None


class _Bucket:
    def __init__(self, uri: str) -> None:
        self._bucket, self._root = open_bucket(uri)

    @contextmanager
    def draft(self) -> Iterator[Write]:
        written: list[str] = []

        def write(path: str, blocks: Iterable[bytes]) -> None:
            written.append(path)
            with bucket_errors("being written"), self._bucket.open_output_stream(self._at(path)) as stream:
                for block in blocks:
                    stream.write(block)

        # A bucket has no names that only one can make. Of two that each leave a sign first and look then, the
        # one that looks later sees the other's: at most one goes on.
        claim = f"{files.TEMPORARY_PREFIX}{uuid4().hex}"
        try:
            write(claim, [b"a snapshot is being written here"])
            self._refuse_if_taken(claim)
            yield write
            self._delete(claim)
        except BaseException:
            # The description, which makes a snapshot of all this, was written last: it goes first.
            for path in reversed(written):
                with suppress(OSError, Unavailable, InvalidRequest):
                    self._delete(path)
            raise

    def sizes(self) -> dict[str, int]:
        everything = fs.FileSelector(self._root, recursive=True, allow_not_found=True)
        with bucket_errors("being listed"):
            found = self._bucket.get_file_info(everything)
        start = len(self._root) + 1
        return {info.path[start:]: info.size for info in found if info.type != fs.FileType.Directory}

    def read(self, path: str) -> Iterator[bytes]:
        with bucket_errors("being read"):
            try:
                with self._bucket.open_input_stream(self._at(path)) as stream:
                    while block := stream.read(_BLOCK_BYTES):
                        yield block
            except FileNotFoundError:
                raise _not_found() from None

    def _refuse_if_taken(self, claim: str) -> None:
        if self.sizes().keys() != {claim}:
            raise Conflict(
                "Something lies in that place, or is being written there, and nothing is overwritten; name a "
                "new one."
            )

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _delete(self, path: str) -> None:
        with bucket_errors("being written"), suppress(FileNotFoundError):
            self._bucket.delete_file(self._at(path))


def _not_found() -> SnapshotNotFound:
    return SnapshotNotFound("There is no complete snapshot in that place.")
