"""Tables of separated values: each row a block of ``column: value`` lines, so that it is understood alone."""

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from pipelines.parse.document import ParsedDocument, ParseError, ParseLimits
from pipelines.parse.outline import Outline, too_long
from pipelines.parse.text import decode

_DELIMITERS = ",;\t|"
# ASCII's own separator, which no text has.
_NONE = "\x1f"
_SAMPLE_ROWS = 50
_SAMPLE_CHARS = 65_536
# What is longer is a quotation mark that was never closed.
_MAX_FIELD_CHARS = 1_000_000
_MAX_COLUMN_CHARS = 200

_NUMBER = re.compile(r"[+-]?[\d.,]+%?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*")


def parse_csv(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """The rows below a first row of names; where that names nothing, the values alone.

    Raises:
        ParseError: The file is not text, a value does not end, or the file has no text or is beyond
            ``limits``.
    """
    text = decode(data)
    rows = _rows(text, _delimiter(text))
    first = next(rows, [])
    names = _names(first)
    outline = Outline(limits)
    if names is None:
        outline.add("\n".join(cell for cell in first if cell))
    for row in rows:
        outline.add(_as_lines(names, row, outline.chars_left, limits))
    if outline.is_empty and names is not None:
        outline.add("\n".join(names))
    return outline.document(title=None)


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    """Rows that are not blank, cells without space at either end."""
    csv.field_size_limit(_MAX_FIELD_CHARS)
    # The reader wants lines with their ends, which tell a line feed in quotation marks from the end of a row.
    reader = csv.reader(
        (f"{line}\n" for line in text.split("\n")), delimiter=delimiter, skipinitialspace=True
    )
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise ParseError(
                f"The row that ends in line {reader.line_num} has a value of more than {_MAX_FIELD_CHARS} "
                "characters; a quotation mark may not be closed."
            ) from None
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield cells


def _delimiter(text: str) -> str:
    """That which cuts the first row, and most rows like it; if there is none, one that cuts nothing.

    Not `csv.Sniffer`, whose patterns take time quadratic in the length of a hostile line.
    """
    sample = text[:_SAMPLE_CHARS]
    best, most = _NONE, (0, 0)
    for delimiter in _DELIMITERS:
        widths = [len(row) for row in islice(_rows(sample, delimiter), _SAMPLE_ROWS)]
        if widths and widths[0] > 1 and (found := (widths.count(widths[0]), widths[0])) > most:
            best, most = delimiter, found
    return best


def _names(row: Sequence[str]) -> list[str] | None:
    """The first row as the columns' names; None if it is data: names differ, are short, and no numbers."""
    while row and not row[-1]:
        row = row[:-1]
    for name in row:
        if not name or len(name) > _MAX_COLUMN_CHARS or _NUMBER.fullmatch(name):
            return None
    return [" ".join(name.split()) for name in row] if len(set(row)) == len(row) > 0 else None


def _as_lines(names: Sequence[str] | None, row: Sequence[str], max_chars: int, limits: ParseLimits) -> str:
    if names is None:
        return "\n".join(cell for cell in row if cell)
    lines = []
    chars = 0
    for at, cell in enumerate(row):
        if cell:
            lines.append(f"{names[at]}: {cell}" if at < len(names) else cell)
            chars += len(lines[-1]) + 1
    if chars > max_chars + 1:
        raise too_long(limits)
    return "\n".join(lines)
