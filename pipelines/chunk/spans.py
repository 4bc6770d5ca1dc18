"""A stretch of a text."""

Span = tuple[int, int]
"""Its first character, and the one after its last."""


def trimmed(text: str, start: int, end: int) -> Span:
    """A stretch that begins with no space, without that at its end."""
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def skip_space(text: str, start: int, end: int) -> int:
    """Where the first character lies that is no space; ``end`` if there is none."""
    while start < end and text[start].isspace():
        start += 1
    return start
