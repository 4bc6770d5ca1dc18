"""Collects blocks of text under the headings they stand below, and bounds their number and length."""

from pipelines.parse.document import Block, ParsedDocument, ParseError, ParseLimits

# Headings go with every chunk below them, so a longer one is taken for the paragraph it most likely is.
_MAX_HEADING_CHARS = 300

_SEPARATOR_CHARS = len("\n\n")


class Outline:
    """Built in reading order: call `heading` and `add` as they come, then `document`."""

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits
        self._blocks: list[Block] = []
        self._chars = 0
        self._open: list[tuple[int, str]] = []
        self._headings: tuple[str, ...] = ()
        self._first_heading: str | None = None
        self._heading_is_bare = False

    @property
    def is_empty(self) -> bool:
        """Whether there is neither text nor heading."""
        return not self._blocks and not self._open

    @property
    def chars_left(self) -> int:
        """How long the text of one more block may be."""
        return self._limits.max_chars - self._chars

    def heading(self, level: int, text: str) -> None:
        """A heading of ``level`` 1 (outermost) or more; it closes those of the same level and deeper.

        Raises:
            ParseError: The document is beyond the limits.
        """
        text = storable(text)
        if not text:
            return
        if self._open and self._open[-1][0] >= level:
            self._keep_bare_heading()
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        if len(text) > _MAX_HEADING_CHARS:
            self._name_headings()
            self.add(text)
            return
        self._open.append((level, text))
        self._name_headings()
        self._first_heading = self._first_heading or text
        self._heading_is_bare = True

    def add(self, text: str, *, page: int | None = None) -> None:
        """A block of text below the last heading; nothing if there is only space.

        Raises:
            ParseError: The document is beyond the limits.
        """
        text = storable(text).strip()
        if not text:
            return
        self._chars += len(text) + _SEPARATOR_CHARS
        if self._chars > self._limits.max_chars:
            raise too_long(self._limits)
        if len(self._blocks) >= self._limits.max_blocks:
            raise ParseError(
                f"The document has more than {self._limits.max_blocks} paragraphs or records; "
                "split it into parts."
            )
        self._blocks.append(Block(text, self._headings, page))
        self._heading_is_bare = False

    def document(self, *, title: str | None, language: str | None = None) -> ParsedDocument:
        """What was collected; without a ``title``, the first heading is it.

        Raises:
            ParseError: There was no text, or the document is beyond the limits.
        """
        self._keep_bare_heading()
        if not self._blocks:
            raise ParseError("The file has no readable text.")
        title = storable(title).strip()[:_MAX_HEADING_CHARS] if title else None
        return ParsedDocument(title or self._first_heading, tuple(self._blocks), language)

    def _name_headings(self) -> None:
        self._headings = tuple(heading for _, heading in self._open)

    def _keep_bare_heading(self) -> None:
        """A heading without text below it would be lost: it becomes a block itself."""
        if self._heading_is_bare:
            _, text = self._open.pop()
            self._name_headings()
            self.add(text)
            self._heading_is_bare = False


def too_long(limits: ParseLimits) -> ParseError:
    """The error of a document that unfolds to more text than is read."""
    return ParseError(f"The document has more than {limits.max_chars} characters; split it into parts.")


def storable(text: str) -> str:
    """Without zeros and halves of surrogate pairs, which a database or UTF-8 cannot hold."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "") if "\0" in text else text
