"""What kind of file an upload is: by its name, as long as its first bytes do not say otherwise."""

from pathlib import PurePosixPath

from vectoray.core.errors import InvalidRequest
from vectoray.core.ingestion import FileType

HEAD_BYTES = 1024
"""How much of a file `check_content` looks at."""

_BY_SUFFIX = {
    **{f".{one.value}": one for one in FileType},
    ".text": FileType.TXT,
    ".ndjson": FileType.JSONL,
    ".markdown": FileType.MD,
    ".htm": FileType.HTML,
}
_PDF = b"%PDF-"
_ZIP = b"PK\x03\x04"
# What is no text, and is sent under a text's name by mistake.
_NOT_TEXT = (_PDF, _ZIP, b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"\x1f\x8b", b"\x7fELF", b"\xd0\xcf\x11\xe0")
_UTF_16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def type_of(file_name: str) -> FileType:
    """The type that a file's name says.

    Raises:
        InvalidRequest: It says none that can be read.
    """
    found = _BY_SUFFIX.get(PurePosixPath(file_name).suffix.lower())
    if found is None:
        known = ", ".join(one.value.upper() for one in FileType)
        raise InvalidRequest(
            f"The name of the file must end like one of these types: {known}.", {"at": "file"}
        )
    return found


def check_content(file_type: FileType, head: bytes) -> None:
    """Let a file pass whose first bytes may begin such a file.

    Args:
        file_type: What its name says.
        head: The first `HEAD_BYTES` of it, or all of a shorter one.

    Raises:
        InvalidRequest: They do not.
    """
    if not head:
        raise InvalidRequest("The file is empty.", {"at": "file"})
    if file_type is FileType.PDF:
        # ISO 32000 has it at the beginning; readers accept it a little later.
        fits = _PDF in head and not head.startswith(_ZIP)
    elif file_type is FileType.DOCX:
        fits = head.startswith(_ZIP)
    else:
        fits = not head.startswith(_NOT_TEXT) and (b"\0" not in head or head.startswith(_UTF_16_OR_32))
    if not fits:
        raise InvalidRequest(
            f"The file's content is not what its name says, {file_type.value.upper()}; give it the ending of "
            "what it is.",
            {"at": "file"},
        )
