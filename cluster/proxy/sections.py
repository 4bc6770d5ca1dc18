"""HAProxy's configuration as sections of lines, by HAProxy's grammar alone."""

from typing import NamedTuple

# fmt: off
_SECTIONS = frozenset({
    "backend", "cache", "crt-store", "defaults", "fcgi-app", "frontend", "global", "http-errors", "listen",
    "log-forward", "log-profile", "mailers", "peers", "program", "resolvers", "ring", "traces", "userlist",
})
# fmt: on


class Section(NamedTuple):
    """A section; ``global`` and the like have no name.

    Attributes:
        kind: The keyword that opens it; empty for what stands before the first section.
        lines: Its statements as words, without comments and blank lines. Quoted words are not joined: no
            statement that is looked into has any.
    """

    kind: str
    name: str
    lines: list[list[str]]

    def has(self, *words: str) -> bool:
        """Whether a statement begins with these words."""
        return any(tuple(line[: len(words)]) == words for line in self.lines)

    def find(self, keyword: str) -> list[list[str]]:
        """The statements that begin with ``keyword``."""
        return [line for line in self.lines if line[0] == keyword]


def parse(text: str) -> list[Section]:
    """The sections of a configuration."""
    sections = [Section("", "", [])]
    for raw in text.splitlines():
        words = raw.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in _SECTIONS:
            sections.append(Section(words[0], words[1] if len(words) > 1 else "", []))
        else:
            sections[-1].lines.append(_statement(raw, words))
    return [section for section in sections if section.kind or section.lines]


def _statement(raw: str, words: list[str]) -> list[str]:
    """The words of a line; where blanks may count, its first two words and the rest as it is."""
    if '"' not in raw and "'" not in raw and "\\" not in raw:
        return words
    return raw.strip().split(maxsplit=2)


def render(sections: list[Section]) -> str:
    """The configuration of ``sections``."""
    lines: list[str] = []
    for section in sections:
        lines += ["", f"{section.kind} {section.name}".rstrip()]
        lines += [f"    {' '.join(words)}" for words in section.lines]
    return "\n".join(lines).lstrip("\n") + "\n"
