"""The documents in a folder of a bucket (``s3://``, ``gs://``). Reads names and sizes, no contents."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from pyarrow import fs

from pipelines.parse import ParseError, media_type_of
from pipelines.sources.document import NO_FORMAT, ObjectDocument, Skipped, Unread, check_size, shown
from storage.buckets import bucket_errors, open_bucket
from vectoray.core.errors import InvalidRequest


class BucketFolder:
    """The documents below a place in a bucket, in order of their names; a `Source`.

    Names that begin with a full stop are passed over. What one folder has, not those below it, is held at a
    time.
    """

    def __init__(self, place: str, *, max_file_bytes: int) -> None:
        """Name a place; nothing is asked before it is listed.

        Args:
            place: A URI as `open_bucket` takes it; credentials in it are never shown.
            max_file_bytes: Larger objects are refused.
        """
        self._place = place
        self._scheme = place.partition("://")[0].lower()
        self._max_file_bytes = max_file_bytes

    def __iter__(self) -> Iterator[ObjectDocument | Unread]:
        """List what there is.

        Raises:
            InvalidRequest: There is no such place, or the bucket refuses to list it.
            Unavailable: The bucket fails.
        """
        place, root = open_bucket(self._place)
        with bucket_errors("being listed"):
            kind = place.get_file_info(root).type
        if kind == fs.FileType.NotFound:
            raise InvalidRequest("There is nothing at that place in the bucket.")
        if kind == fs.FileType.File:
            raise InvalidRequest("That place in the bucket is an object; name the folder that it is in.")
        opened = [_entries(place, root)]
        while opened:
            found = next(opened[-1], None)
            if found is None:
                opened.pop()
            elif found.type == fs.FileType.Directory:
                opened.append(_entries(place, found.path))
            else:
                yield self._look_at(found, found.path[len(root) :].lstrip("/"))

    def _look_at(self, found: Any, source: str) -> ObjectDocument | Unread:
        if not source.isprintable():
            return Unread(shown(source), "The name of the object is not valid text; rename it.")
        if media_type_of(PurePosixPath(source)) is None:
            return Skipped(source, NO_FORMAT)
        try:
            check_size(found.size, self._max_file_bytes)
        except ParseError as error:
            return Unread(source, error.message)
        uri = f"{self._scheme}://{quote(found.path)}"
        return ObjectDocument(uri=uri, source=source, path=found.path, place=self._place)


def _entries(place: Any, folder: str) -> Iterator[Any]:
    with bucket_errors("being listed"):
        found = place.get_file_info(fs.FileSelector(folder))
    return iter(sorted((one for one in found if not one.base_name.startswith(".")), key=_name))


def _name(found: Any) -> str:
    return str(found.base_name)
