"""Where sentences end, by rules for the common cases of European and East Asian writing. Knows no chunks."""

import re
from collections.abc import Iterator

from pipelines.chunk.spans import Span, trimmed

# A mark counts from the first of a row of them, or a file of full stops would take quadratic time. Marks of
# scripts without spaces need none after them.
_END = re.compile(
    r"""(?<![.!?…])(?P<mark>[.!?…]++)["'”’»)\]]*+(?P<space>\s++)"""  # noqa: RUF001
    r"""|[。！？｡]++[」』”’）】》]*+\s*+"""  # noqa: RUF001
    r"""|\n\s*\n\s*"""
)
_LAST_WORD = re.compile(r"[^\W_][\w.]*\Z")
# No abbreviation is longer, and a word of megabytes needs no look-up.
_LONGEST_WORD = 16

# Lower-cased, without the last full stop. None that ends sentences as often as not, such as "etc." and
# "Inc.": of those, a lower-case letter after them tells most that do not.
_ABBREVIATIONS = frozenset(
    """
    adm al approx asst ave bldg brig bzw ca capt cf cmdr col dept dr drs esp ggf gov hrsg inkl maj messrs mlle
    mme mr mrs ms msgr mt pres prof rev sgt sog sr sra sta ste univ usw vgl viz vs zit
    """.split()  # noqa: SIM905
)
# So, where a number follows.
_BEFORE_NUMBERS = frozenset(
    """
    abb abs apr art aug ch dec eq eqs feb fig figs jan jul jun kap no nos nov nr núm oct p pp pág págs pt sec
    sep sept vol vols
    """.split()  # noqa: SIM905
)


def sentences(text: str, start: int, end: int) -> Iterator[Span]:
    """The sentences of ``text[start:end]``, without the space between them; a blank line ends one too."""
    at = start
    for match in _END.finditer(text, start, end):
        if match["mark"] is None or _ends(text, at, match):
            yield trimmed(text, at, match.end())
            at = match.end()
    if at < end:
        yield at, end


def _ends(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether a mark with space after it ends the sentence that began at ``start``."""
    following = text[match.end() : match.end() + 1]
    if match["space"].count("\n") > 1:
        return True
    if following.islower():
        return False
    word = _LAST_WORD.search(text, max(start, match.start() - _LONGEST_WORD), match.start())
    if match["mark"] != "." or word is None:
        return True
    spelled = word[0].lower()
    if spelled.isdigit():
        # A year ends a sentence; the number of an item in a list begins one.
        return word.start() > start and text[word.start() - 1] != "\n"
    if following.isdigit() and spelled in _BEFORE_NUMBERS:
        return False
    # An initial, or letters with a full stop after each: "J. Doe", "U.S. Navy", "e.g. Rome".
    initials = all(len(part) == 1 for part in spelled.split("."))
    return not initials and spelled not in _ABBREVIATIONS
