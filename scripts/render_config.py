"""Writes ``configs/local.yaml``: every setting with what it does, its bounds, its variable and its default.

``python -m scripts.render_config`` writes the file. With ``--check`` it only compares, prints what differs
and ends with status 1 if anything does. All comes from `serve.config.Settings`; the environment is not read.
"""

import argparse
import difflib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from serve.config import ENV_PREFIX, Settings

PATH = Path(__file__).parents[1] / "configs" / "local.yaml"

_WIDTH = 100
_HEADER = """\
Every setting of a Vectoray server, at its default. Copy this file, keep what you change, and start with
'vectoray up --config FILE'. What a file leaves out keeps its default; an unknown key is refused.

The command line beats the environment variable named at each setting, which beats the file. A list in a
variable is written as JSON. 'vectoray up' always names the data folder itself (--data-dir, VECTORAY_DATA_DIR,
else ./vectoray-data): 'data_dir' in a file counts for 'python -m serve.main' alone.

Written by 'make config' from the settings in the code: change it there.
"""
_KINDS = {
    "integer": "Whole number",
    "number": "Number",
    "string": "Text",
    "array": "List",
    "boolean": "Yes or no",
}
_BOUNDS = {
    "minimum": "{:,} or more",
    "exclusiveMinimum": "above {:,}",
    "maximum": "at most {:,}",
    "minLength": "length {:,} or more",
}


def render() -> str:
    """The text of the file."""
    header = "\n#\n".join(_comment(paragraph) for paragraph in _HEADER.split("\n\n"))
    return f"{header}\n\n" + "\n".join(_render_section(Settings, _defaults(Settings), ENV_PREFIX))


def _render_section(section: type[BaseModel], defaults: dict[str, Any], prefix: str) -> Iterator[str]:
    """One block of text, which ends with a line feed, for each setting of a section."""
    schema = section.model_json_schema()
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            nested = _render_section(field.annotation, defaults[name], f"{prefix}{name.upper()}__")
            body = textwrap.indent("\n".join(nested), "  ")
            yield f"{_comment(_described(field))}\n{name}:\n{body}"
        else:
            own = schema["properties"][name]
            if "$ref" in own:
                own = schema["$defs"][own["$ref"].rpartition("/")[2]]
            facts = f"{_kind(own)}. {prefix}{name.upper()}"
            value = yaml.safe_dump({name: defaults[name]}, width=10_000)
            yield f"{_comment(_described(field))}\n{_comment(facts)}\n{value}"


def _defaults(section: type[BaseModel]) -> dict[str, Any]:
    """The defaults of a section as JSON values."""
    fields = {
        name: field.get_default(call_default_factory=True) for name, field in section.model_fields.items()
    }
    values: dict[str, Any] = section.model_construct(**fields).model_dump(mode="json")
    return values


def _described(field: FieldInfo) -> str:
    if not field.description:
        raise ValueError("Every setting needs a description.")
    return field.description


def _kind(schema: dict[str, Any]) -> str:
    """Type and bounds of a setting, in words."""
    options: list[dict[str, Any]] = schema.get("anyOf", [schema])
    kinds = [_with_bounds(option) for option in options if option["type"] != "null"]
    if len(kinds) < len(options):
        kinds.append("null")
    return ", or ".join(kinds)


def _with_bounds(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return f"One of: {', '.join(schema['enum'])}"
    kind = _KINDS[schema["type"]]
    if "minimum" in schema and "maximum" in schema:
        return f"{kind} from {schema['minimum']:,} to {schema['maximum']:,}"
    bounds = [text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema]
    return ", ".join([kind, *bounds])


def _comment(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def main(arguments: list[str] | None = None) -> int:
    """Write or compare the file. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.render_config", description="Write configs/local.yaml."
    )
    parser.add_argument("--check", action="store_true", help="compare only")
    wanted = render()
    if not parser.parse_args(arguments).check:
        PATH.write_text(wanted)
        return 0
    found = PATH.read_text() if PATH.exists() else ""
    if found == wanted:
        return 0
    lines = (found.splitlines(keepends=True), wanted.splitlines(keepends=True))
    sys.stderr.writelines(difflib.unified_diff(*lines, "configs/local.yaml", "the settings in the code"))
    print("configs/local.yaml is out of date; run: make config", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
