"""Makes the examples of the OpenAPI documents out of what the pages tell."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from scripts.transcripts.page import Told

_NAME = re.compile(r"\{[^}]*\}")


def openapi_examples(paths: Iterable[str], told: Sequence[Told]) -> dict[str, Any]:
    """Method and path of an operation -> its first example, see `serve.openapi`; best one that went well.

    Args:
        paths: Of the family, with ``{names}``.
        told: What a page shows, in its order.
    """
    # The most specific first: a name in a path also stands for what is written out in another.
    patterns = [
        (path, _pattern(path)) for path in sorted(paths, key=lambda path: (path.count("{"), -len(path)))
    ]
    found: dict[str, Any] = {}
    for example, status, answer in told:
        asked = urlsplit(example.call.url).path
        path = next((path for path, pattern in patterns if pattern.fullmatch(asked)), None)
        if path is None or answer is None:
            continue
        shown: dict[str, Any] = {}
        if "json" in example.call.headers.get("content-type", "") and example.call.body is not None:
            shown["request"] = json.loads(example.call.body)
        shown |= {"status": status, "response": answer}
        operation = f"{example.call.method} {path}"
        # One that went well, if any did.
        if operation not in found or (status < 300 <= found[operation]["status"]):
            found[operation] = shown
    return found


def _pattern(path: str) -> re.Pattern[str]:
    literals = map(re.escape, _NAME.split(path))
    return re.compile("[^/]+".join(literals))
