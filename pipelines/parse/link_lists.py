"""Leaves out the menus of web pages that do not mark them: runs of blocks that are nothing but links.

After the observation of Kohlschuetter et al., "Boilerplate Detection using Shallow Text Features" (2010),
that the share of links in a block and in its neighbours tells boilerplate from text.
"""

from pipelines.parse.outline import Outline

# So much of a block's text in links makes it one of a list of links; the rest may be bullets and dividers.
_LINK_SHARE = 0.8
# Fewer in a row may be references below a text.
_MENU_BLOCKS = 3
# With less text than this besides its links, a page is an index.
_LITTLE_CHARS = 200


class LinkLists:
    """Passes headings and blocks on to an outline, but no menus. Call `end` after the last."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._run: list[str] = []
        self._kept_chars = 0
        self._dropped_chars = 0

    def heading(self, level: int, text: str) -> None:
        """A heading; it ends a run."""
        self._end_run()
        self._outline.heading(level, text)

    def add(self, text: str, link_chars: int) -> None:
        """A block of text of which ``link_chars`` characters are links."""
        if link_chars >= _LINK_SHARE * len(text):
            self._run.append(text)
        else:
            self._end_run()
            self._keep(text)

    def end(self) -> bool:
        """Whether what was passed on is the text of the page, not little beside what was left out."""
        self._end_run()
        return self._kept_chars >= _LITTLE_CHARS or self._kept_chars >= self._dropped_chars

    def _end_run(self) -> None:
        if len(self._run) < _MENU_BLOCKS:
            for text in self._run:
                self._keep(text)
        else:
            self._dropped_chars += sum(map(len, self._run))
        self._run = []

    def _keep(self, text: str) -> None:
        self._kept_chars += len(text)
        self._outline.add(text)
