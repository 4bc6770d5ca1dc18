"""What a parsing process and the one that started it say to each other, as bytes.

Both directions carry frames: a length, then so many bytes. A request is a byte for the kind of file and the
file; an answer is JSON, since it comes from a process that read what may have been made to do harm.
"""

import struct
from dataclasses import dataclass
from enum import StrEnum

import orjson

from pipelines.parse.document import Block, MediaType, ParsedDocument

LENGTH = struct.Struct(">Q")
"""Before each frame, its length in bytes."""

READY = b"ready"
"""The first frame of a process: it has started."""

_KINDS = tuple(MediaType)


class Failure(StrEnum):
    """Why there is neither a document nor a refusal of the parser."""

    MEMORY = "memory"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The message of a `ParseError`."""

    message: str


Answer = ParsedDocument | Refusal | Failure


def encode_request(data: bytes, media_type: MediaType) -> tuple[bytes, bytes]:
    """The frame's beginning, and the rest of it: a large file is not copied."""
    return LENGTH.pack(len(data) + 1) + bytes([_KINDS.index(media_type)]), data


def decode_media_type(byte: bytes) -> MediaType:
    """The kind of file in a request's first byte."""
    return _KINDS[byte[0]]


def encode_answer(answer: Answer) -> bytes:
    """The frame's content."""
    match answer:
        case ParsedDocument():
            return orjson.dumps(_document_to_json(answer))
        case Refusal(message):
            return orjson.dumps({"refused": message})
        case Failure():
            return orjson.dumps({"failed": answer.value})


def decode_answer(frame: bytes) -> Answer:
    """What `encode_answer` made a frame of.

    Raises:
        ValueError, TypeError, LookupError: Nothing.
    """
    answer = orjson.loads(frame)
    if "refused" in answer:
        return Refusal(answer["refused"])
    if "failed" in answer:
        return Failure(answer["failed"])
    headings = [tuple(texts) for texts in answer["headings"]]
    blocks = tuple(Block(text, headings[at], page) for text, at, page in answer["blocks"])
    return ParsedDocument(answer["title"], blocks, answer["language"])


def _document_to_json(document: ParsedDocument) -> dict[str, object]:
    """Headings once for all the blocks below them."""
    headings: dict[tuple[str, ...], int] = {}
    blocks = [
        (block.text, headings.setdefault(block.headings, len(headings)), block.page)
        for block in document.blocks
    ]
    return {
        "title": document.title,
        "language": document.language,
        "headings": list(headings),
        "blocks": blocks,
    }
