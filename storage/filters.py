"""A filter tree as a test of one point: the reference meaning of `vectoray.core.filters`."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from vectoray.core.filters import (
    And,
    Contains,
    Eq,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Path,
    Prefix,
    Range,
    Scalar,
    SourceIs,
    TimeRange,
)

_ABSENT = object()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HOUR_MINUTE = r"(?:[01]\d|2[0-3]):[0-5]\d"
# RFC 3339, section 5.6, with a leap second; of the fraction, nanoseconds are the finest that is written.
_TIME = re.compile(
    rf"\d{{4}}-\d\d-\d\d(?:[Tt ]{_HOUR_MINUTE}:([0-5]\d|60)(?:\.\d{{1,9}})?(?:[Zz]|[+-]{_HOUR_MINUTE})?)?",
    re.ASCII,
)


def row_test(condition: Filter) -> Callable[[bytes, str | None], bool]:
    """A function that says whether a payload, a JSON object in bytes, and a source meet the condition."""
    if isinstance(condition, SourceIs):
        return lambda _, source: source == condition.source

    def test(payload: bytes, source: str | None) -> bool:
        return matches(condition, orjson.loads(payload), source)

    return test


def matches(  # noqa: PLR0911  (one branch a class)
    condition: Filter, document: Mapping[str, Any], source: str | None
) -> bool:
    """Whether a parsed payload and a source meet the condition."""
    match condition:
        case And(conditions):
            return all(matches(part, document, source) for part in conditions)
        case Or(conditions):
            return any(matches(part, document, source) for part in conditions)
        case Not(negated):
            return not matches(negated, document, source)
        case Eq(path, value):
            return _equal(_field(document, path), value)
        case In(path, values):
            found = _field(document, path)
            return any(_equal(found, value) for value in values)
        case Range():
            return _in_range(_field(document, condition.path), condition)
        case TimeRange():
            return _in_time_range(_field(document, condition.path), condition)
        case Exists(path):
            return _field(document, path) is not _ABSENT
        case Prefix(path, prefix):
            found = _field(document, path)
            return isinstance(found, str) and found.startswith(prefix)
        case Contains(path, value):
            found = _field(document, path)
            return isinstance(found, list) and any(_equal(element, value) for element in found)
        case SourceIs(wanted):
            return source == wanted


def _field(document: Mapping[str, Any], path: Path) -> Any:
    found: Any = document
    for key in path:
        if not isinstance(found, Mapping) or key not in found:
            return _ABSENT
        found = found[key]
    return found


def _equal(found: Any, value: Scalar) -> bool:
    # Python says True == 1; JSON does not.
    if isinstance(found, bool) or isinstance(value, bool):
        return found is value
    return bool(found == value)


def _in_range(found: Any, bounds: Range) -> bool:
    limits = [limit for limit in (bounds.gt, bounds.gte, bounds.lt, bounds.lte) if limit is not None]
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return False
    # Numbers compare with numbers and strings with strings; anything else is outside every range.
    if any(isinstance(limit, str) != isinstance(found, str) for limit in limits):
        return False
    value: Any = found
    return (
        (bounds.gt is None or value > bounds.gt)
        and (bounds.gte is None or value >= bounds.gte)
        and (bounds.lt is None or value < bounds.lt)
        and (bounds.lte is None or value <= bounds.lte)
    )


def _in_time_range(found: Any, bounds: TimeRange) -> bool:
    time_us = text_us(found) if isinstance(found, str) else None
    return time_us is not None and (
        (bounds.gt is None or time_us > instant_us(bounds.gt))
        and (bounds.gte is None or time_us >= instant_us(bounds.gte))
        and (bounds.lt is None or time_us < instant_us(bounds.lt))
        and (bounds.lte is None or time_us <= instant_us(bounds.lte))
    )


def instant_us(moment: datetime) -> int:
    """A time with a zone, in microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def text_us(text: str) -> int | None:
    """The instant that a string names, in microseconds since 1970, or None if it names none.

    A leap second is the second after it, as in POSIX; digits beyond the microsecond are dropped.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    leap = found[1] == "60"
    if leap:
        text = f"{text[:17]}59{text[19:]}"
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        # The form of a date that the calendar does not have.
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return instant_us(moment) + leap * 1_000_000
