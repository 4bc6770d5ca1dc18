"""Documents for the tests of the chunker."""

from pipelines.parse import Block, ParsedDocument


def document(*texts: str) -> ParsedDocument:
    """One without headings and pages."""
    return ParsedDocument(title=None, blocks=tuple(Block(text) for text in texts))
