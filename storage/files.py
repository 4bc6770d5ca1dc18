"""Every durable write of this package goes through here: temporary name, fsync, rename, fsync of the folder.

A file under its final name is therefore complete, and survives loss of power. Errors of the disk become
`StorageFull` or `InternalError`, whose messages name no path.
"""

import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import xxhash

from vectoray.core.errors import Conflict, CorruptData, InternalError, ShardLocked, StorageFull

TEMPORARY_PREFIX = ".tmp-"

# Larger ones would stay with the process: the allocator keeps what it once gave.
_BLOCK_BYTES = 1 << 18
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
_FULL = {errno.ENOSPC, errno.EDQUOT}


class UnknownOutcomeError(OSError):
    """A write failed, and could not be taken back: only reading the disk anew tells what is on it."""


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn an OSError into an error of ours, saying what was being done."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(f"No space left on the disk while {doing}; nothing was changed.") from error
        reason = f" ({error.strerror})" if error.strerror else ""
        raise InternalError(f"The disk failed while {doing}{reason}.") from error


def fsync_dir(path: Path) -> None:
    """Make the names in a folder survive loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Make a file's bytes survive loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durable(path: Path, data: bytes | memoryview) -> None:
    """Write a whole file so that it is there completely or not at all.

    Raises:
        OSError: Nothing is left under either name; the caller may try again.
        UnknownOutcomeError: The file is there, and nothing says whether it would survive loss of power.
    """
    temporary = path.with_name(TEMPORARY_PREFIX + path.name)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.rename(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    try:
        fsync_dir(path.parent)
    except OSError:
        # The name may or may not outlive a loss of power: take it back, so that "failed" means "not there".
        try:
            path.unlink()
            fsync_dir(path.parent)
        except OSError as error:
            raise UnknownOutcomeError(error.errno, error.strerror) from error
        raise


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def publish_dir(temporary: Path, final: Path) -> None:
    """Fsync everything in a finished folder, then give the folder its final name durably.

    Raises:
        OSError: Nothing new has the final name.
    """

    def refuse(error: OSError) -> None:
        raise error

    for folder, _, names in os.walk(temporary, topdown=False, onerror=refuse):
        for name in names:
            fsync_file(Path(folder, name))
        fsync_dir(Path(folder))
    temporary.rename(final)
    try:
        fsync_dir(final.parent)
    except OSError:
        final.rename(temporary)
        raise


def publish_new_dir(temporary: Path, final: Path) -> None:
    """As `publish_dir`, where nothing but an empty folder may lie.

    Raises:
        Conflict: Something does.
        OSError: Nothing new has the final name.
    """
    try:
        publish_dir(temporary, final)
    except OSError as error:
        if error.errno in _TAKEN:
            raise _taken() from None
        raise


def refuse_if_taken(path: Path) -> None:
    """Find out early what `publish_new_dir` would refuse.

    Raises:
        Conflict: Something other than an empty folder lies here.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise _taken()


def _taken() -> Conflict:
    return Conflict("Something lies in that place already, and nothing is overwritten; name a new one.")


def make_temporary_dir(parent: Path) -> Path:
    """A new folder that its owner alone may enter, and that `publish_dir` may rename."""
    return Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=parent))


def make_dir_durable(path: Path) -> None:
    """Create a folder and its parents; every new name survives loss of power."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        fsync_dir(folder.parent)


def checksum(data: bytes | memoryview) -> str:
    """XXH3-64 of the bytes, as hex."""
    return xxhash.xxh3_64_hexdigest(data)


def read_blocks(path: Path) -> Iterator[bytes]:
    """A file's bytes, in blocks that fit in memory."""
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def write_blocks(path: Path, blocks: Iterable[bytes]) -> None:
    """Write a new file in a folder that `publish_dir` will make durable."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for block in blocks:
            _write_all(descriptor, block)
    finally:
        os.close(descriptor)


def checksum_file(path: Path) -> str:
    """XXH3-64 of a file's bytes, as hex."""
    return checksum_blocks(read_blocks(path))


def checksum_blocks(blocks: Iterable[bytes]) -> str:
    """XXH3-64 of all the blocks, as hex."""
    digest = xxhash.xxh3_64()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def encode_json(value: dict[str, object]) -> bytes:
    """A JSON object with a checksum of itself."""
    body = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return b'{"checksum":"%s","value":%s}' % (checksum(body).encode(), body)


def write_json_durable(path: Path, value: dict[str, object]) -> None:
    """Write a JSON object with a checksum of itself."""
    write_durable(path, encode_json(value))


def read_json(path: Path) -> dict[str, object]:
    """Read what `write_json_durable` wrote.

    Raises:
        CorruptData: The file is not what was written.
        FileNotFoundError: There is no such file.
    """
    return decode_json(path.read_bytes())


def decode_json(data: bytes) -> dict[str, object]:
    """Read what `encode_json` made.

    Raises:
        CorruptData: It is something else.
    """
    try:
        document = json.loads(data)
        value = document["value"]
        body = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
        intact = document["checksum"] == checksum(body)
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptData("A stored description cannot be read.") from error
    if not intact or not isinstance(value, dict):
        raise CorruptData("A stored description does not match its checksum.")
    return value


class FileLock:
    """An exclusive lock that the kernel releases when its process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            ShardLocked: Another process holds it; the message says which.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise ShardLocked(f"The shard is owned by process {holder}.", {"holder_pid": holder}) from None
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor: int | None = descriptor
        # A note for people; the lock holds without it, on a full disk too.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Give the lock back. Once is enough; again does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
