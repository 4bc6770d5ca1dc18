"""Bytes of a file or of a page to chunks, outside of the event loop."""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from pipelines.chunk import Chunk, chunk
from pipelines.jobs.work_threads import WorkThreads
from pipelines.parse import MediaType, ParsedDocument, ParseError
from vectoray.core.ingestion import Chunking, FileType
from vectoray.embedding import TokenCounter

_MEDIA_TYPES = {
    FileType.PDF: MediaType.PDF,
    FileType.DOCX: MediaType.DOCX,
    FileType.TXT: MediaType.TEXT,
    FileType.CSV: MediaType.CSV,
    FileType.JSON: MediaType.JSON,
    FileType.JSONL: MediaType.JSONL,
    FileType.MD: MediaType.MARKDOWN,
    FileType.HTML: MediaType.HTML,
}


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document in pieces.

    Attributes:
        chunks: At least one, in the order of the document.
    """

    title: str | None
    chunks: Sequence[Chunk]

    def fingerprint(self, model: str) -> str:
        """Of all that the points depend on that ``model`` makes of the chunks: 64 hexadecimal digits."""
        digest = hashlib.sha256(model.encode())
        for piece in self.chunks:
            for part in (piece.embedded, piece.text):
                data = part.encode(errors="surrogatepass")
                digest.update(len(data).to_bytes(8))
                digest.update(data)
        return digest.hexdigest()


class DocumentReader(Protocol):
    """Turns bytes into chunks."""

    async def read(self, data: bytes, media_type: str, chunking: Chunking, model: str) -> ReadDocument:
        """Parse and cut.

        Args:
            data: The whole document.
            media_type: What its bytes are.
            chunking: How to cut it.
            model: What embeds the chunks; none has more tokens than it reads.

        Raises:
            ParseError: The document cannot be read, or has no text. The message is for its sender.
        """


class Parse(Protocol):
    """Parses a document, as `pipelines.parse.isolated.IsolatedParser.parse`."""

    def __call__(self, data: bytes, *, media_type: MediaType, cancel: threading.Event) -> ParsedDocument:
        """Parse, or raise once ``cancel`` is set, for nobody waits any more."""


class ThreadReader:
    """Reads documents in threads of this process; where they are parsed, ``parse`` says."""

    def __init__(
        self, threads: WorkThreads, parse: Parse, counter_of: Callable[[str], TokenCounter | None]
    ) -> None:
        """Make it.

        Args:
            threads: Where to wait for ``parse``, and to cut.
            parse: Parses.
            counter_of: What counts the tokens of a model.
        """
        self._threads = threads
        self._parse = parse
        self._counter_of = counter_of

    async def read(self, data: bytes, media_type: str, chunking: Chunking, model: str) -> ReadDocument:
        """As `DocumentReader.read`."""
        cancel = threading.Event()
        try:
            return await self._threads.run(partial(self._read, data, media_type, chunking, model, cancel))
        except asyncio.CancelledError:
            cancel.set()
            raise

    def _read(
        self, data: bytes, media_type: str, chunking: Chunking, model: str, cancel: threading.Event
    ) -> ReadDocument:
        try:
            known = MediaType(media_type)
        except ValueError:
            raise ParseError(f"Documents of the type {media_type} cannot be read.") from None
        parsed = self._parse(data, media_type=known, cancel=cancel)
        pieces = chunk(parsed, chunking, tokens=self._counter_of(model))
        if not pieces:
            raise ParseError("The document has no text.")
        return ReadDocument(parsed.title, pieces)


def media_type_of_upload(file_type: FileType) -> str:
    """The media type of an uploaded file."""
    return _MEDIA_TYPES[file_type]
