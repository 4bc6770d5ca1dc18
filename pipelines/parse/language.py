"""The language that a document says it is in."""

import re

_TAG = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}")


def language_tag(declared: object) -> str | None:
    """A declaration as a BCP 47 tag ("en_US " is "en-US"); None if it is none."""
    if not isinstance(declared, str):
        return None
    # HTTP-like declarations may list several; the first is that of the text.
    tag = declared.split(",", 1)[0].strip().replace("_", "-")
    return tag if _TAG.fullmatch(tag) else None
