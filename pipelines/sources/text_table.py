"""Tables with a column of text: each row is a document."""

import datetime as dt
import decimal
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import orjson
import xxhash

from pipelines.sources.document import TextDocument, Unread, shown
from pipelines.sources.table_rows import Row, read_rows
from vectoray.core.errors import InvalidRequest

# Stored with each chunk of the row.
_MAX_METADATA_BYTES = 16_384
_MAX_TEXT_CHARS = 20_000_000
_MAX_NAME_CHARS = 512


@dataclass(frozen=True, slots=True)
class TextColumns:
    """Which columns of a table are what.

    Attributes:
        text: What is cut into chunks.
        id: What tells a row from others for ever; without it, its number does, from 1.
        title: Names the row for people, or None.
        kept: The columns that are stored as metadata; None: all others.
    """

    text: str = "text"
    id: str | None = None
    title: str | None = None
    kept: tuple[str, ...] | None = None

    def required(self) -> tuple[str, ...]:
        """Those that a table must have."""
        named = (self.text, self.id, self.title, *(self.kept or ()))
        return tuple(name for name in named if name is not None)


_COLUMNS = TextColumns()


class TextTable:
    """The rows of a Parquet, Arrow, CSV or JSONL file (by the ending of its name); a `Source`.

    Rows are read as they are listed. A row that is no document is `Unread`, and so is the rest of a file that
    is damaged.
    """

    def __init__(self, path: Path, columns: TextColumns = _COLUMNS) -> None:
        """Name a file; it is read when it is listed."""
        self._path = path.absolute()
        self._columns = columns

    def __iter__(self) -> Iterator[TextDocument | Unread]:
        """List the rows.

        Raises:
            InvalidRequest: The file is no such table, or lacks a column.
        """
        seen: set[int] = set()
        for number, row in read_rows(self._path, self._columns.required()):
            try:
                document = self._document(number, row)
            except InvalidRequest as error:
                yield Unread(f"{self._path.name}#{number}", error.message)
                continue
            if self._columns.id is not None:
                # Eight bytes of each id, of which there may be millions.
                key = xxhash.xxh3_64_intdigest(document.uri.encode())
                if key in seen:
                    reason = f"Row {number}: the id in column '{self._columns.id}' is that of an earlier row."
                    yield Unread(document.source, reason)
                    continue
                seen.add(key)
            yield document

    def _document(self, number: int, row: Row) -> TextDocument:
        if isinstance(row, str):
            raise InvalidRequest(row)
        missing = [name for name in self._columns.required() if name not in row]
        if missing:
            raise InvalidRequest(f"Row {number}: there is no column '{missing[0]}'.")
        text = row[self._columns.text]
        if not isinstance(text, str):
            kind = "null" if text is None else type(text).__name__
            raise InvalidRequest(f"Row {number}: column '{self._columns.text}' must be text, it is {kind}.")
        if not text.strip():
            raise InvalidRequest(f"Row {number}: column '{self._columns.text}' is empty.")
        if len(text) > _MAX_TEXT_CHARS:
            raise InvalidRequest(
                f"Row {number}: column '{self._columns.text}' has {len(text)} characters, at most "
                f"{_MAX_TEXT_CHARS} are read."
            )
        name = self._name(number, row, self._columns.id) or str(number)
        return TextDocument(
            uri=f"{self._path.as_uri()}#{'id' if self._columns.id else 'row'}={quote(name, safe='')}",
            source=f"{self._path.name}#{shown(name)}",
            text=text,
            title=self._name(number, row, self._columns.title),
            metadata=self._metadata(number, row),
        )

    @staticmethod
    def _name(number: int, row: Mapping[str, object], column: str | None) -> str | None:
        """An id or title: text, or a whole number."""
        if column is None:
            return None
        value = row[column]
        if isinstance(value, int | uuid.UUID) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not 1 <= len(value) <= _MAX_NAME_CHARS:
            raise InvalidRequest(
                f"Row {number}: column '{column}' must be text of 1 to {_MAX_NAME_CHARS} characters, or a "
                "whole number."
            )
        return value

    def _metadata(self, number: int, row: Mapping[str, object]) -> bytes:
        columns = self._columns
        own = (columns.text, columns.id, columns.title)
        kept = row.keys() - set(own) if columns.kept is None else columns.kept
        for name in row:
            if name in kept:
                try:
                    orjson.dumps(row[name], default=_as_json)
                except TypeError:
                    raise InvalidRequest(
                        f"Row {number}: column '{name}' is no JSON value, so it cannot be kept."
                    ) from None
        metadata = orjson.dumps({name: row[name] for name in row if name in kept}, default=_as_json)
        if len(metadata) > _MAX_METADATA_BYTES:
            raise InvalidRequest(
                f"Row {number}: the columns that are kept have {len(metadata)} bytes as JSON, at most "
                f"{_MAX_METADATA_BYTES} are stored; name fewer."
            )
        return metadata


def _as_json(value: object) -> str:
    if isinstance(value, decimal.Decimal | dt.timedelta):
        return str(value)
    raise TypeError
