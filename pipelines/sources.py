"""Which documents a folder holds. Reads names and sizes, no contents."""

import os
from dataclasses import dataclass
from pathlib import Path

from pipelines.parse import media_type_of
from vectoray.core.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Document:
    """A file to ingest.

    Attributes:
        path: Where it lies, absolute.
        uri: What identifies it for ever: the same file gets the same chunk ids, wherever it is started from.
        source: What people see: the path below the ingested folder.
    """

    path: str
    uri: str
    source: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A file of which nothing is stored, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds.

    Attributes:
        skipped: Files of formats that are not documents.
        refused: Documents that are not read, with the reason.
    """

    documents: tuple[Document, ...]
    skipped: tuple[Unread, ...]
    refused: tuple[Unread, ...]


def list_documents(root: Path, *, max_file_bytes: int) -> Listing:
    """The documents below a folder, or the one document, in order of their names.

    Hidden files and folders are passed over. Links to files are followed, links to folders are not, so that
    a circle of links ends.

    Raises:
        InvalidRequest: There is no such file or folder.
    """
    if not root.exists():
        raise InvalidRequest(f"There is no file or folder '{root}'.")
    root = root.resolve()
    paths = [root] if root.is_file() else _files(root)
    base = root.parent if root.is_file() else root
    documents, skipped, refused = [], [], []
    for path in paths:
        source = path.relative_to(base).as_posix()
        if not source.isprintable():
            refused.append(Unread(ascii(source)[1:-1], "The name of the file is not valid text; rename it."))
        elif media_type_of(path) is None:
            skipped.append(
                Unread(
                    source, "Not a document: HTML, Markdown, plain text, PDF, DOCX, CSV and JSON are read."
                )
            )
        elif not path.is_file():
            refused.append(Unread(source, "Not a regular file."))
        elif (size := path.stat().st_size) > max_file_bytes:
            refused.append(Unread(source, f"Too large: {size} bytes, at most {max_file_bytes} are read."))
        else:
            documents.append(Document(path=str(path), uri=path.as_uri(), source=source))
    return Listing(tuple(documents), tuple(skipped), tuple(refused))


def _files(root: Path) -> list[Path]:
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(found)
