"""Where uploaded files lie: a local folder, or a prefix of a bucket. Knows bytes, not whose they are.

A blob is named by a UUID of ours, never by what somebody calls a file. Under its name it is complete: a local
one is written under another name first, and a bucket shows an object when it is closed. Everything here waits
for the disk or the network.
"""

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from pyarrow import fs

from storage.buckets import bucket_errors, open_bucket
from storage.files import TEMPORARY_PREFIX, disk_errors, fsync_dir, fsync_file, make_dir_durable
from vectoray.core.errors import InternalError, InvalidRequest, StorageFull, Unavailable

_BUCKET = re.compile(r"(s3|gs|gcs)://", re.IGNORECASE)
_BLOCK_BYTES = 1 << 20
_FAILURES = (OSError, StorageFull, Unavailable, InternalError)


class Blobs:
    """One place with blobs. Methods may raise `StorageFull`, `Unavailable` or `InternalError`."""

    def __init__(self, place: Any, root: str, *, local: bool) -> None:
        """A place that `open` has found.

        Args:
            place: A file system of `pyarrow.fs`.
            root: The folder in it.
            local: Whether it is a folder of this machine, and so ours to keep private and durable.
        """
        self._place = place
        self._root = root
        self._local = local

    @classmethod
    def open(cls, location: Path | str) -> "Blobs":
        """The place at a local folder, made if it is not there, or at an ``s3://`` or ``gs://`` URI.

        Raises:
            InvalidRequest: It is another URI, or one that cannot be used. No error shows any part of it: it
                may carry credentials.
        """
        if isinstance(location, Path):
            with disk_errors("making the folder of uploads"):
                make_dir_durable(location)
            return cls(fs.LocalFileSystem(), str(location.absolute()), local=True)
        if not _BUCKET.match(location):
            raise InvalidRequest("Uploads lie in the data folder, or at an s3:// or gs:// URI.")
        place, root = open_bucket(location)
        if not root:
            raise InvalidRequest("The URI of uploads names no bucket.")
        return cls(place, root, local=False)

    def draft(self, name: str) -> "BlobDraft":
        """Begin a new blob.

        Args:
            name: A UUID that no blob has.
        """
        path = self._at(name, draft=True)
        with self._errors("storing an upload", "being written"):
            if self._local:
                # Arrow would let others of this machine read it until somebody forbade it.
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            return BlobDraft(self, name, self._place.open_output_stream(path))

    def read(self, name: str) -> Iterator[bytes]:
        """A blob's bytes, in blocks that fit in memory.

        Raises:
            FileNotFoundError: There is no such blob.
        """
        with self._errors("reading an upload", "being read"):
            try:
                stream = self._place.open_input_stream(self._at(name))
            except FileNotFoundError:
                stream = None
        if stream is None:
            raise FileNotFoundError("There is no such upload.")
        with self._errors("reading an upload", "being read"), stream:
            while block := stream.read(_BLOCK_BYTES):
                yield block

    def delete(self, name: str) -> None:
        """Remove a blob, or what an interrupted draft left of it; nothing happens if there is none."""
        for path in {self._at(name), self._at(name, draft=True)}:
            with self._errors("removing an upload", "being written"), suppress(FileNotFoundError):
                self._place.delete_file(path)

    def older_than(self, before: datetime) -> list[str]:
        """Names of blobs, and of drafts, that were written last before a time."""
        everything = fs.FileSelector(self._root, recursive=False, allow_not_found=True)
        with self._errors("listing uploads", "being listed"):
            found = self._place.get_file_info(everything)
        names = {info.base_name.removeprefix(TEMPORARY_PREFIX) for info in found if info.mtime < before}
        return sorted(name for name in names if _is_name(name))

    def publish(self, name: str) -> None:
        """Give a finished draft its name, durably."""
        if not self._local:
            return
        draft, final = Path(self._at(name, draft=True)), Path(self._at(name))
        with disk_errors("storing an upload"):
            fsync_file(draft)
            draft.rename(final)
            fsync_dir(final.parent)

    def writing(self) -> AbstractContextManager[None]:
        """What turns errors of writing into ours."""
        return self._errors("storing an upload", "being written")

    def _at(self, name: str, *, draft: bool = False) -> str:
        if not _is_name(name):
            raise ValueError("Blobs are named by UUIDs.")
        prefix = TEMPORARY_PREFIX if draft and self._local else ""
        return f"{self._root}/{prefix}{name}"

    def _errors(self, doing: str, bucket_is: str) -> AbstractContextManager[None]:
        return disk_errors(doing) if self._local else _faults_of_bucket(bucket_is)


class BlobDraft:
    """A blob that is being written, by one thread at a time. Nobody sees it before `finish`.

    Attributes:
        size_bytes: Written so far.
    """

    def __init__(self, blobs: Blobs, name: str, stream: Any) -> None:
        self._blobs = blobs
        self._name = name
        self._stream = stream
        self._digest = hashlib.sha256()
        # Whoever gives up does not wait for the thread that is still writing for them.
        self._turn = threading.Lock()
        self._discarded = False
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """Of what is written so far, in hexadecimal digits."""
        return self._digest.hexdigest()

    def write(self, block: bytes) -> None:
        """Add bytes; a draft that is discarded swallows them."""
        with self._turn, self._blobs.writing():
            if not self._discarded:
                self._stream.write(block)
                self._digest.update(block)
                self.size_bytes += len(block)

    def finish(self) -> None:
        """Make a blob of it, durably. After an error nothing is left of it."""
        try:
            with self._turn, self._blobs.writing():
                self._stream.close()
            self._blobs.publish(self._name)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Leave nothing of it, as far as that can be: what cannot be removed now is removed as an orphan."""
        with self._turn:
            self._discarded = True
            with suppress(*_FAILURES):
                self._stream.close()
            with suppress(*_FAILURES):
                self._blobs.delete(self._name)


@contextmanager
def _faults_of_bucket(what: str) -> Iterator[None]:
    """As `bucket_errors`; that the bucket refuses us is no fault of whoever sends a file."""
    try:
        with bucket_errors(what):
            yield
    except InvalidRequest as error:
        raise InternalError(error.message) from None


def _is_name(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False
