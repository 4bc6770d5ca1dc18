"""Collects blocks of text under the headings they stand below. Shared by the formats that have headings."""

from pipelines.parse.document import Block, ParsedDocument, ParseError


class Outline:
    """Built in reading order: call `heading` and `add` as they come, then `document`."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._open: list[tuple[int, str]] = []
        self._first_heading: str | None = None
        self._heading_is_bare = False

    @property
    def is_empty(self) -> bool:
        """Whether there is neither text nor heading."""
        return not self._blocks and not self._open

    def heading(self, level: int, text: str) -> None:
        """A heading of ``level`` 1 (outermost) to 6; it closes those of the same level and deeper."""
        if not text:
            return
        if self._open and self._open[-1][0] >= level:
            self._keep_bare_heading()
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        self._open.append((level, text))
        self._first_heading = self._first_heading or text
        self._heading_is_bare = True

    def add(self, text: str) -> None:
        """A block of text below the last heading; nothing if there is only space."""
        text = text.strip()
        if text:
            self._blocks.append(Block(text, tuple(heading for _, heading in self._open)))
            self._heading_is_bare = False

    def document(self, *, title: str | None) -> ParsedDocument:
        """What was collected; without a ``title``, the first heading is it.

        Raises:
            ParseError: There was no text.
        """
        self._keep_bare_heading()
        if not self._blocks:
            raise ParseError("The file has no readable text.")
        return ParsedDocument(title or self._first_heading, tuple(self._blocks))

    def _keep_bare_heading(self) -> None:
        """A heading without text below it would be lost: it becomes a block itself."""
        if self._heading_is_bare:
            _, text = self._open.pop()
            self.add(text)
            self._heading_is_bare = False
