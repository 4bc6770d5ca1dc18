"""The examples of a page of documentation: curl commands, each with the status and JSON of its answer."""

import argparse
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SHELL = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANSWERED = re.compile(r"\n\n`(\d{3})`[^\n]*\n(?:\n```json\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
_BOUNDARY = "of-an-example"
_ROOT = Path(__file__).parents[2]
_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Call:
    """A curl command, as curl would send it."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None


@dataclass(frozen=True, slots=True)
class Example:
    """A call and the answer that the page shows below it.

    Attributes:
        answer: Decoded; None where there is none.
        status_at: Where the three digits of the status are in the page's text.
        answer_at: Where the JSON is, from its first character to behind its last line break.
    """

    call: Call
    status: int
    answer: Any
    status_at: int
    answer_at: tuple[int, int]


Told = tuple[Example, int, Any]
"""An example, and the status and the JSON value that should be shown below it."""


def calls(text: str) -> list[Call]:
    """Every curl command of a page's shell blocks."""
    return [call for block in _SHELL.findall(text) for call in _calls_of(block)]


def examples(text: str) -> list[Example]:
    """Every block of a page with one curl command, and the status and JSON that must follow it.

    Raises:
        ValueError: An example has no answer, or not one command.
    """
    found = []
    for block in _SHELL.finditer(text):
        answered = _ANSWERED.match(text, block.end())
        commands = _calls_of(block[1])
        if answered is None or len(commands) != 1 or (answered[2] is None and answered[1] != "204"):
            raise ValueError(f"One command, its status and its JSON belong together: {block[1]}")
        answer = None if answered[2] is None else json.loads(answered[2])
        found.append(Example(commands[0], int(answered[1]), answer, answered.start(1), answered.span(2)))
    return found


def with_answers(text: str, told: Sequence[Told]) -> str:
    """The page with other answers below its examples; one that says the same stays as it is written.

    Args:
        text: The page.
        told: Examples of it in their order, each with the status and the JSON value to show.
    """
    for example, status, answer in reversed(told):
        start, end = example.answer_at
        if json.dumps(answer) != json.dumps(example.answer):
            text = f"{text[:start]}{layout(answer)}\n{text[end:]}"
        text = f"{text[: example.status_at]}{status}{text[example.status_at + 3 :]}"
    return text


def layout(value: Any, indent: str = "", before: int = 0) -> str:
    """A JSON value as a person would write it: on one line where it fits.

    Args:
        value: To write.
        indent: Of the line that it begins on.
        before: What stands before it on that line.
    """
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + before + len(line) < _WIDTH or not isinstance(value, dict | list) or not value:
        return line
    deeper = indent + "  "
    if isinstance(value, list):
        rows = [deeper + layout(item, deeper) for item in value]
        return "[\n" + ",\n".join(rows) + f"\n{indent}]"
    rows = []
    for key, item in value.items():
        name = f"{json.dumps(key, ensure_ascii=False)}: "
        rows.append(deeper + name + layout(item, deeper, len(name)))
    return "{\n" + ",\n".join(rows) + f"\n{indent}}}"


def read(page: Path) -> list[Example]:
    """The examples of a file.

    Raises:
        ValueError: As `examples`.
    """
    try:
        return examples(page.read_text())
    except ValueError as error:
        raise ValueError(f"{page.name}: {error}") from None


def _calls_of(block: str) -> list[Call]:
    commands = re.split(r"^(?=curl )", block.replace("\\\n", " "), flags=re.MULTILINE)
    return [_call(command) for command in commands if command.startswith("curl ")]


def _call(command: str) -> Call:
    parser = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    parser.add_argument("url")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body")
    parser.add_argument("-F", dest="form", action="append")
    options = parser.parse_args(shlex.split(command)[1:])
    headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in options.headers)}
    if options.form is not None:
        options.body = _form(options.form)
        headers["content-type"] = f"multipart/form-data; boundary={_BOUNDARY}"
    if options.body is not None:
        headers.setdefault("content-type", "application/x-www-form-urlencoded")
    method = options.method or ("GET" if options.body is None else "POST")
    return Call(method, options.url, headers, options.body)


def _form(fields: list[str]) -> str:
    """A form of texts, and of text files (``name=@path``) below the root of the project."""
    parts = []
    for field in fields:
        name, _, value = field.partition("=")
        path = _ROOT / value.removeprefix("@") if value.startswith("@") else None
        file = f'; filename="{path.name}"' if path is not None else ""
        content = value if path is None else path.read_text()
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}'
        parts.append(f"{head}\r\n\r\n{content}\r\n")
    return "".join(parts) + f"--{_BOUNDARY}--\r\n"
