"""Reads our documentation: the pages, their links, and the examples with the answers they promise."""

import argparse
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
PAGES = (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANSWERED = re.compile(r"\n\n`(\d{3})`[^\n]*\n\n```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Call:
    """A curl command, as curl would send it."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None


@dataclass(frozen=True, slots=True)
class Example:
    """A call and the answer that the page shows below it."""

    call: Call
    status: int
    answer: Any


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Where the page's links lead."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The names by which the page's headings are linked to, as GitHub makes them."""
    headings = (heading.lower().replace(" ", "-") for heading in _HEADING.findall(prose(page)))
    return {re.sub(r"[^\w-]", "", heading) for heading in headings}


def calls(page: Path) -> list[Call]:
    """Every curl command of the page's shell blocks."""
    return [call for block in _SHELL.findall(page.read_text()) for call in _calls_of(block)]


def examples(page: Path) -> list[Example]:
    """Every block with one curl command, and the status and JSON that must follow it.

    Raises:
        ValueError: An example has no answer, or not one command.
    """
    text = page.read_text()
    found = []
    for block in _SHELL.finditer(text):
        answered = _ANSWERED.match(text, block.end())
        commands = _calls_of(block[1])
        if answered is None or len(commands) != 1:
            raise ValueError(f"{page.name}: one command, its status and its JSON belong together: {block[1]}")
        found.append(Example(commands[0], int(answered[1]), json.loads(answered[2])))
    return found


def _calls_of(block: str) -> list[Call]:
    commands = re.split(r"^(?=curl )", block.replace("\\\n", " "), flags=re.MULTILINE)
    return [_call(command) for command in commands if command.startswith("curl ")]


def _call(command: str) -> Call:
    parser = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    parser.add_argument("url")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body")
    options = parser.parse_args(shlex.split(command)[1:])
    headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in options.headers)}
    if options.body is not None:
        headers.setdefault("content-type", "application/x-www-form-urlencoded")
    method = options.method or ("GET" if options.body is None else "POST")
    return Call(method, options.url, headers, options.body)
