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


@dataclass(frozen=True, slots=True)
class Block:
    """A run of text that belongs together: a paragraph, a list item, a piece of code, a page.

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
    """

    title: str | None
    blocks: tuple[Block, ...]

    @property
    def text(self) -> str:
        """The text of all blocks, a blank line between them: what offsets of chunks count in."""
        return "\n\n".join(block.text for block in self.blocks)


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Bounds on what one file may cost. A small PDF can unfold to a great deal of text."""

    max_pdf_pages: int = 2000
    max_pdf_chars: int = 20_000_000
    max_pdf_s: float = 120.0


class ParseError(InvalidRequest):
    """A file that cannot be read. The message is a sentence its sender can act on."""
