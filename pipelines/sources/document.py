"""What a source lists: documents of four kinds, and what is not one, with the reason.

Documents are small, so that they can be sent to whoever reads them; only the text of a row travels with it.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from pipelines.parse import Block, MediaType, ParsedDocument, ParseError
from pipelines.parse.text import paragraphs
from storage.buckets import bucket_errors, open_bucket


@dataclass(frozen=True, slots=True)
class FileDocument:
    """A file of this machine.

    Attributes:
        uri: What identifies it for ever: the same file gets the same chunk ids, wherever it is started from.
        source: What people see: the path below the ingested folder.
        path: Where it lies, absolute.
        root: A folder, absolute and without links. Nothing outside of it is opened.
    """

    uri: str
    source: str
    path: str
    root: str

    def read(self, *, max_bytes: int) -> bytes:
        """All of the file.

        Raises:
            ParseError: It leads out of the folder, is larger, is no regular file, or cannot be read.
        """
        try:
            path = Path(os.path.realpath(self.path, strict=True))
            if not path.is_relative_to(self.root):
                raise ParseError(OUTSIDE)
            # A pipe would wait for somebody to write into it.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise ParseError(NOT_REGULAR)
                check_size(status.st_size, max_bytes)
                # It may grow meanwhile.
                data = file.read(max_bytes + 1)
        except OSError as error:
            raise ParseError(f"The file cannot be read: {error.strerror}.") from None
        check_size(len(data), max_bytes)
        return data


@dataclass(frozen=True, slots=True)
class ObjectDocument:
    """An object in a bucket.

    Attributes:
        uri: As `FileDocument.uri`; without credentials.
        source: The path below the ingested folder.
        path: Bucket and key.
        place: The URI that opens the bucket; it may hold credentials.
    """

    uri: str
    source: str
    path: str
    place: str = field(repr=False)

    def read(self, *, max_bytes: int) -> bytes:
        """All of the object.

        Raises:
            ParseError: It is larger.
            InvalidRequest: The bucket refuses it.
            Unavailable: The bucket fails.
        """
        with bucket_errors("being read"), _opened(self.place).open_input_stream(self.path, None) as stream:
            data: bytes = stream.read(max_bytes + 1)
        check_size(len(data), max_bytes)
        return data


@cache
def _opened(place: str) -> Any:
    """One file system a process: each has connections of its own."""
    return open_bucket(place)[0]


@dataclass(frozen=True, slots=True)
class WebDocument:
    """A page that is to be fetched; its URL, normalised, identifies it and is what people see."""

    uri: str

    @property
    def source(self) -> str:
        """The URL."""
        return self.uri


@dataclass(frozen=True, slots=True)
class PageDocument:
    """A page that has been fetched.

    Attributes:
        uri: That of the `WebDocument`.
        data: Its bytes, as parsers take them.
    """

    uri: str
    media_type: MediaType
    data: bytes = field(repr=False)

    @property
    def source(self) -> str:
        """The URL."""
        return self.uri


@dataclass(frozen=True, slots=True)
class TextDocument:
    """A row of a table.

    Attributes:
        uri: Of the table, and the row's id in it.
        source: The table's name, and the row's id.
        metadata: A JSON object of the row's other columns, stored with each chunk.
    """

    uri: str
    source: str
    text: str
    title: str | None = None
    metadata: bytes = b"{}"

    def parsed(self) -> ParsedDocument:
        """The text as paragraphs."""
        return ParsedDocument(
            title=self.title, blocks=tuple(Block(part) for part in paragraphs(self.text) if part)
        )


@dataclass(frozen=True, slots=True)
class Unread:
    """Something of which nothing is stored, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Skipped(Unread):
    """Something that is no document and was not meant to be one."""


Readable = FileDocument | ObjectDocument
"""Those whose bytes are read and parsed."""

Document = FileDocument | ObjectDocument | WebDocument | PageDocument | TextDocument


class Source(Protocol):
    """Lists documents, one by one: there may be millions. Each iteration begins anew."""

    def __iter__(self) -> Iterator[Document | Unread]:
        """The documents in an order that does not change while they do not.

        Raises:
            InvalidRequest: There is no such source.
            Unavailable: It cannot be listed at the moment.
        """


OUTSIDE = "It is a link that leads out of the folder."
NOT_REGULAR = "Not a regular file."
NO_FORMAT = "Not a document: the ending of its name is of no format that is read."


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Refuse what is too large.

    Raises:
        ParseError: It is.
    """
    if size_bytes > max_bytes:
        raise ParseError(f"Too large: {size_bytes} bytes, at most {max_bytes} are read.")


def shown(source: str) -> str:
    """A name in printable form."""
    return source if source.isprintable() else ascii(source)[1:-1]
