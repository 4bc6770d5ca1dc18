"""The process that reads documents for another: ``python -m pipelines.parse.child``, started by another.

It bounds itself before it reads a byte, can write no file, and ends with the process that started it: see
`pipelines.parse.child_process`.
"""

import fcntl
import json
import os
import resource
import select
import signal
import socket
import sys
from io import BufferedReader
from math import ceil
from typing import Any

from pipelines.parse import MediaType, ParseError, ParseLimits, parse
from pipelines.parse.frames import (
    LENGTH,
    READY,
    Answer,
    Failure,
    Refusal,
    decode_media_type,
    encode_answer,
)

# For modules that are loaded with the first document of a kind.
_MAX_OPEN_FILES = 64


def main() -> None:
    """Answer requests until the other side closes the connection."""
    options: dict[str, Any] = json.loads(sys.argv[1])
    _end_with(options["lifeline"])
    _bound(options["max_memory_bytes"])
    limits = ParseLimits(**options["limits"])
    with socket.socket(fileno=options["connection"]) as connection, connection.makefile("rb") as requests:
        _send(connection, READY)
        while header := requests.read(LENGTH.size):
            (length,) = LENGTH.unpack(header)
            media_type = decode_media_type(requests.read(1))
            _allow_cpu(options["max_cpu_s"])
            _send(connection, _answer(requests, length - 1, media_type, limits))


def _end_with(lifeline: int) -> None:
    """Have the kernel end this process when nobody holds the other end of a pipe open any more.

    By SIGIO, whose default is to end a process: so it works in the middle of a long call into a C library,
    too. Not by PR_SET_PDEATHSIG, which ends a child when the thread that started it ends.
    """
    _mind_signals()
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    already_closed = select.poll()
    already_closed.register(lifeline, select.POLLHUP)
    if already_closed.poll(0):
        sys.exit()


def _mind_signals() -> None:
    """What the thread that started this process has blocked or ignored would be so here as well."""
    for ends in (signal.SIGIO, signal.SIGXCPU):
        signal.signal(ends, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _bound(max_memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))
    for nothing in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(nothing, (0, 0))


def _allow_cpu(seconds: int) -> None:
    """From now; the limit itself counts from the start of the process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (ceil(usage.ru_utime + usage.ru_stime) + seconds, hard))


def _answer(requests: BufferedReader, size: int, media_type: MediaType, limits: ParseLimits) -> bytes:
    try:
        return encode_answer(_parse(requests.read(size), media_type, limits))
    except MemoryError:
        return encode_answer(Failure.MEMORY)


def _parse(data: bytes, media_type: MediaType, limits: ParseLimits) -> Answer:
    try:
        return parse(data, media_type=media_type, limits=limits)
    except ParseError as refusal:
        return Refusal(refusal.message)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (a fault of a parser; the document fails, and others go on)
        return Failure.FAULT


def _send(connection: socket.socket, frame: bytes) -> None:
    connection.sendall(LENGTH.pack(len(frame)))
    connection.sendall(frame)


if __name__ == "__main__":
    main()
