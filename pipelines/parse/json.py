"""JSON and lines of JSON: each record a block of ``path: value`` lines, so that it is understood alone."""

import json
from collections.abc import Iterator
from typing import Any

from pipelines.parse.document import ParsedDocument, ParseError, ParseLimits
from pipelines.parse.language import language_tag
from pipelines.parse.outline import Outline, too_long
from pipelines.parse.text import decode

# Every line repeats its path.
_MAX_PATH_CHARS = 1000

_TITLES = ("title", "name", "headline", "subject")
_LANGUAGES = ("language", "lang")


def parse_json(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """A block for each record: the members of an array, or what else there is as one.

    An object with one array of objects in it, as many exports are, is what is beside the array, then its
    members. The title is what an object calls so, or its name, headline or subject. A file with several
    values is read as lines of JSON.

    Raises:
        ParseError: The file is not JSON, has no text, or is beyond ``limits``.
    """
    text = decode(data)
    try:
        value = _value(text, limits)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and "\n" in text[: error.pos]:
            return _read_lines(text, limits)
        raise ParseError(f"The file is not JSON: line {error.lineno}, column {error.colno}.") from None
    outline = Outline(limits)
    for record in _records(value):
        outline.add(_as_lines(record, outline.chars_left, limits))
    return outline.document(title=_member(value, _TITLES), language=language_tag(_member(value, _LANGUAGES)))


def parse_jsonl(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """A block for each line that is not blank.

    Raises:
        ParseError: A line is not JSON, or the file has no text or is beyond ``limits``.
    """
    return _read_lines(decode(data), limits)


def _read_lines(text: str, limits: ParseLimits) -> ParsedDocument:
    outline = Outline(limits)
    # Not `splitlines`: strings of JSON may hold the other characters that end a line for it.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = _value(line, limits)
        except json.JSONDecodeError:
            raise ParseError(f"Line {number} is not JSON; every line must be one value.") from None
        outline.add(_as_lines(record, outline.chars_left, limits))
    return outline.document(title=None)


def _value(text: str, limits: ParseLimits) -> Any:
    """Numbers stay as they are written: the text of 1.10 is not 1.1, and no number is too long."""
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except RecursionError:
        raise _too_deep(limits) from None


def _records(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        arrays = [key for key, member in value.items() if isinstance(member, list) and _all_objects(member)]
        if len(arrays) == 1:
            beside = {key: member for key, member in value.items() if key != arrays[0]}
            return [beside, *value[arrays[0]]]
    return [value]


def _all_objects(members: list[Any]) -> bool:
    return bool(members) and all(isinstance(member, dict) for member in members)


def _member(value: Any, names: tuple[str, ...]) -> str | None:
    """The first of an object's members with one of these names, in any case, that is one line of text."""
    if not isinstance(value, dict):
        return None
    members = {key.lower(): member for key, member in value.items() if isinstance(member, str)}
    found = (members[name].strip() for name in names if name in members)
    return next((text for text in found if text and "\n" not in text), None)


def _as_lines(record: Any, max_chars: int, limits: ParseLimits) -> str:
    lines = []
    chars = 0
    for path, text in _leaves(record, limits):
        line = f"{path}: {text}" if path else text
        chars += len(line) + 1
        # A long name far out stands before everything within: a small file can unfold to a lot of text.
        if chars > max_chars + 1:
            raise too_long(limits)
        lines.append(line)
    return "\n".join(lines)


def _leaves(record: Any, limits: ParseLimits) -> Iterator[tuple[str, str]]:
    """Where each text in a record stands, and the text. Without recursion; what is null or empty has none."""
    entered: list[Iterator[tuple[str, Any]]] = [iter([("", record)])]
    while entered:
        if (entry := next(entered[-1], None)) is None:
            entered.pop()
            continue
        path, value = entry
        if len(path) > _MAX_PATH_CHARS:
            raise ParseError(f"The JSON has a path of names of more than {_MAX_PATH_CHARS} characters.")
        if isinstance(value, list) and all(isinstance(member, str) for member in value):
            value = ", ".join(value)
        if isinstance(value, dict | list):
            if len(entered) > limits.max_depth:
                raise _too_deep(limits)
            entered.append(_members(path, value) if isinstance(value, dict) else _elements(path, value))
        elif isinstance(value, bool):
            yield path, "true" if value else "false"
        elif isinstance(value, str) and value.strip():
            yield path, value.strip()


def _members(path: str, value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{path}.{key}" if path else key, member) for key, member in value.items())


def _elements(path: str, value: list[Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{path}[{at}]", element) for at, element in enumerate(value))


def _too_deep(limits: ParseLimits) -> ParseError:
    return ParseError(f"The JSON is nested deeper than {limits.max_depth} levels; flatten it.")
