"""How every process of a server logs: one line of JSON for each event, on stderr.

An exception is logged as its type and the functions it passed through. Its text and file names stay out: they
may hold what callers sent, and where things lie on this machine.
"""

import logging
import sys
import traceback
from types import TracebackType

import structlog
from structlog.typing import EventDict, WrappedLogger

_MAX_FRAMES = 12


def configure_logs() -> None:
    """Set up structlog in this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            describe_exception,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # The process's own: in its replicas Ray Serve puts a logger in the place of `sys.stderr` and `print`,
        # which drops what is below its level.
        logger_factory=structlog.WriteLoggerFactory(sys.__stderr__),
    )


def describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace ``exc_info`` by ``error`` (types, cause last) and ``at`` (functions, innermost last)."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        kinds: list[str] = []
        chained: BaseException | None = error
        while chained is not None and len(kinds) < _MAX_FRAMES:
            kinds.append(type(chained).__name__)
            innermost = chained
            chained = chained.__cause__ or chained.__context__
        event["error"] = kinds
        event["at"] = _functions(innermost.__traceback__)
    return event


def _functions(trace: TracebackType | None) -> list[str]:
    frames = list(traceback.walk_tb(trace))[-_MAX_FRAMES:]
    return [f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_name}:{line}" for frame, line in frames]
