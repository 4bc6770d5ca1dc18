"""Conditions on a point, as a tree of values.

A condition on the payload names a field by its path into the JSON object, ``("author", "name")`` for
``{"author": {"name": ...}}``. A condition on a field that is absent is false; `Not` turns that around.
Equality follows JSON: ``1`` equals ``1.0``, ``true`` does not equal ``1``. `SourceIs` asks for the document
that the point came from, which is no part of the payload.

The tree says what is asked. Where it is answered (bitmaps, a scan, the table) is the storage package's
business, and its values never become part of a query string.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from vectoray.core.errors import InvalidRequest

Scalar: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class And:
    """All of ``conditions`` hold; an empty list holds."""

    conditions: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of ``conditions`` holds; an empty list does not hold."""

    conditions: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """``condition`` does not hold."""

    condition: "Filter"


@dataclass(frozen=True, slots=True)
class Eq:
    """The field equals ``value``."""

    path: Path
    value: Scalar


@dataclass(frozen=True, slots=True)
class In:
    """The field equals one of ``values``."""

    path: Path
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The field lies between the given bounds: numbers with numbers, strings with strings.

    Strings compare by code point. For times, which may be written in many ways, there is `TimeRange`.
    """

    path: Path
    gt: str | float | None = None
    gte: str | float | None = None
    lt: str | float | None = None
    lte: str | float | None = None


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The field is a string that names an instant between the given bounds, to the microsecond.

    Such a string is an RFC 3339 time, or one without an offset, which means UTC, or a date alone, which means
    its midnight in UTC. Any other string, and any other type, is outside every range.

    Raises:
        InvalidRequest: A bound has no time zone, and so names no instant.
    """

    path: Path
    gt: datetime | None = None
    gte: datetime | None = None
    lt: datetime | None = None
    lte: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("gt", "gte", "lt", "lte"):
            bound = getattr(self, name)
            if bound is not None and bound.utcoffset() is None:
                raise InvalidRequest(f"The bound '{name}' of a time range has no time zone.", {"bound": name})


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is present, even if null."""

    path: Path


@dataclass(frozen=True, slots=True)
class Prefix:
    """The field is a string that starts with ``prefix``."""

    path: Path
    prefix: str


@dataclass(frozen=True, slots=True)
class Contains:
    """The field is an array with an element equal to ``value``."""

    path: Path
    value: Scalar


@dataclass(frozen=True, slots=True)
class SourceIs:
    """The point came from just this document, see `vectoray.core.model.Point.source`."""

    source: str


Filter: TypeAlias = And | Or | Not | Eq | In | Range | TimeRange | Exists | Prefix | Contains | SourceIs
