"""``multipart/form-data`` bodies (RFC 7578), part by part as they arrive. Keeps no part in memory."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from vectoray.core.errors import InvalidRequest

MULTIPART_TYPE = "multipart/form-data"
_MAX_PARTS = 32


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part begins.

    Attributes:
        name: Of the form's field.
        file_name: What the client calls the file; None if the part is none. Only ever data.
    """

    name: str
    file_name: str | None


async def read_parts(
    body: AsyncIterable[bytes], content_type: str | None
) -> AsyncGenerator[Part | bytes, None]:
    """The parts of a form: each as a `Part` and then its bytes, in pieces.

    Raises:
        InvalidRequest: The body is no such form, or ends too early, or has too many parts.
    """
    reader = _Reader(_boundary(content_type))
    async for block in body:
        for item in reader.read(block):
            yield item
    reader.end()


class _Reader:
    """What the parser finds in a block."""

    def __init__(self, boundary: bytes) -> None:
        self._found: deque[Part | bytes] = deque()
        self._name, self._value = bytearray(), bytearray()
        self._disposition = b""
        self._parts = 0
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": lambda data, start, end: self._found.append(bytes(data[start:end])),
                "on_end": self._end,
            },
        )

    def read(self, block: bytes) -> deque[Part | bytes]:
        """What begins or goes on in a block."""
        self._found.clear()
        try:
            self._parser.write(block)
        except FormParserError:
            raise _no_form() from None
        return self._found

    def end(self) -> None:
        """Nothing more comes."""
        if not self._ended:
            raise _no_form()

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise InvalidRequest(f"The form has more than {_MAX_PARTS} parts.")
        self._disposition = b""

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise _no_form()
        file_name = options.get(b"filename")
        self._found.append(
            Part(_text(options[b"name"]), None if file_name is None else _text(file_name)),
        )

    def _end(self) -> None:
        self._ended = True


def _boundary(content_type: str | None) -> bytes:
    media_type, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if media_type.lower() != MULTIPART_TYPE.encode() or not 1 <= len(boundary) <= 70:
        raise InvalidRequest(
            f"The body must be a form, sent with 'Content-Type: {MULTIPART_TYPE}; boundary=...'."
        )
    return boundary


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _no_form() -> InvalidRequest:
    return InvalidRequest(f"The body is not valid as {MULTIPART_TYPE}, or is not complete.")
