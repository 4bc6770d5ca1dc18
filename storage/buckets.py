"""Opens a bucket, and says what fails there without Arrow's texts: those may show hosts and credentials."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from pyarrow import fs

from vectoray.core.errors import InvalidRequest, StorageFull, Unavailable

# What clouds call an error, in the texts of Arrow: the only part of them that names nothing of the user's.
_REASON = re.compile(r"AWS Error ([A-Z_]+)|Status\(([A-Z_]+)")
# Trying again does not help.
_REFUSALS = {
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "NO_SUCH_BUCKET",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNAUTHENTICATED",
    "UNRECOGNIZED_CLIENT",
}


def open_bucket(uri: str) -> tuple[Any, str]:
    """A file system of `pyarrow.fs`, and the folder in it that an ``s3://`` or ``gs://`` URI names.

    Raises:
        InvalidRequest: The URI names no such place.
    """
    if uri.lower().startswith("s3:") and "allow_delayed_open" not in uri:
        # A file of up to 5 MB is then one request, not three.
        uri += f"{'&' if '?' in uri else '?'}allow_delayed_open=true"
    with bucket_errors("being opened"):
        place, root = fs.FileSystem.from_uri(uri)
    return place, root.rstrip("/")


@contextmanager
def bucket_errors(what: str) -> Iterator[None]:
    """Turn an error of Arrow into one of ours.

    Args:
        what: What happens to the bucket, such as "being read".
    """
    try:
        yield
    except OSError as error:
        found = _REASON.search(str(error))
        reason = next((group for group in found.groups() if group), "") if found else ""
        shown = f" ({reason})" if reason else ""
        if error.errno == errno.ENOSPC:
            raise StorageFull(f"No space left in the bucket while {what}; nothing was changed.") from None
        if reason in _REFUSALS or isinstance(error, FileNotFoundError):
            raise InvalidRequest(
                f"The bucket refused{shown} while {what}; it must exist, and the credentials must allow it."
            ) from None
        raise Unavailable(f"The bucket failed{shown} while {what}; try again in a moment.") from None
    except pa.ArrowException:
        raise InvalidRequest("The URI is not one that names a place in a bucket.") from None
