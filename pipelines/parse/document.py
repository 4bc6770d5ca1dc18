"""What every parser gives: a document as blocks of plain text, or a reason why there is none."""

from dataclasses import dataclass
from enum import StrEnum

from vectoray.core.errors import InvalidRequest


class MediaType(StrEnum):
    """The kinds of files that can be read."""

    HTML = "text/html"
    MARKDOWN = "text/markdown"
    TEXT = "text/plain"
    PDF = "application/pdf"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    CSV = "text/csv"
    JSON = "application/json"
    JSONL = "application/jsonl"


@dataclass(frozen=True, slots=True)
class Block:
    """A run of text that belongs together: a paragraph, a list item, a piece of code, a page, a record.

    Attributes:
        text: Not empty, without space at either end.
        headings: The headings above it, outermost first.
        page: Page number from 1, where the document has pages.
    """

    text: str
    headings: tuple[str, ...] = ()
    page: int | None = None


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document's text in reading order.

    Attributes:
        title: What the document calls itself, if it does.
        blocks: At least one.
        language: The BCP 47 tag that the document itself gives, such as "de" or "pt-BR", if it does.
    """

    title: str | None
    blocks: tuple[Block, ...]
    language: str | None = None

    @property
    def text(self) -> str:
        """The text of all blocks, a blank line between them: what offsets of chunks count in."""
        return "\n\n".join(block.text for block in self.blocks)


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Bounds on what one file may unfold to. Time and memory are bounded by `pipelines.parse.isolated`.

    Attributes:
        max_chars: Characters of text, blank lines between blocks included.
        max_blocks: Paragraphs, records and the like.
        max_depth: Levels that JSON values may be nested in each other.
        max_pdf_pages: Pages of a PDF.
        max_unpacked_bytes: Bytes of all files in a DOCX, unpacked.
    """

    max_chars: int = 20_000_000
    max_blocks: int = 1_000_000
    max_depth: int = 100
    max_pdf_pages: int = 2000
    max_unpacked_bytes: int = 256 * 2**20


class ParseError(InvalidRequest):
    """A file that cannot be read. The message is a sentence its sender can act on."""
