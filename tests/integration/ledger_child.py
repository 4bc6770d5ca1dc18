"""A process that owns a shard and says on stdout what it asks of it and what was acknowledged, until killed.

It reads a state from stdin, the oracle's, and does the operations that follow from it and the number of the
run. ``?n`` is written before operation ``n`` is submitted, ``+n`` after it was acknowledged. With ``--step``
it kills itself at one of the lines that this step of the storage runs, or a moment after, inside whatever
native code runs then; ``!step`` says that it got there. Nothing in the storage knows of this.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import storage
from storage import compaction, owned_shard, segment_files, table
from storage.commit import GroupCommit
from storage.merging import Merger
from storage.settings import StorageSettings
from storage.writer import ShardWriter
from tests.integration.ledger import FIRST_OF_RUN, read_state
from tests.unit.storage.oracle import Operation, outcome
from tests.unit.storage.workload import next_operation

STEPS: dict[str, tuple[Any, str]] = {
    "recover": (owned_shard, "recover"),
    "commit": (GroupCommit, "_commit"),
    "seal": (ShardWriter, "seal"),
    "merge": (Merger, "merge"),
    "flush": (ShardWriter, "flush"),
    "tidy": (table.PointTable, "tidy"),
}
_SETTINGS = StorageSettings(
    seal_rows=16, merge_factor=2, flush_rows=16, flush_interval_s=0.1, table_versions_keep_s=0
)
_SOURCES = str(Path(storage.__file__).parent)
_MAX_WAITING = 4
# Now and then maintenance should have nothing left to do.
_REST_EVERY = 12
_REST_S = 0.1


def main() -> None:
    """Work for ever."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("run", type=int)
    parser.add_argument("--step", choices=sorted(STEPS))
    parser.add_argument("--line", type=int, default=1)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    arguments = parser.parse_args()
    # Graphs, and compactions of the table, though there are only a few points.
    for module in (segment_files, compaction):
        vars(module)["GRAPH_MIN_ROWS"] = 16
    table._TIDY_VERSIONS = 3
    oracle = read_state(sys.stdin.buffer.read())
    if arguments.step is not None:
        die_within(arguments.step, arguments.line, arguments.delay_ms)

    writer = ShardWriter(arguments.directory, _SETTINGS)
    random = np.random.default_rng(arguments.run)
    waiting: deque[tuple[int, Operation, Future[Any], Any]] = deque()
    number = arguments.run * FIRST_OF_RUN
    while True:
        number += 1
        operation = next_operation(random, oracle, number)
        expected = oracle.apply(operation)
        say(f"?{number}")
        waiting.append((number, operation, operation.submit(writer), expected))
        while len(waiting) > number % _MAX_WAITING:
            done, asked, future, promised = waiting.popleft()
            answer = outcome(asked, future.result(60))
            if answer != promised:
                raise AssertionError(f"{asked} was answered {answer} instead of {promised}")
            say(f"+{done}")
        time.sleep(0 if number % _REST_EVERY else _REST_S)


def say(line: str) -> None:
    """One line in one write: the pipe never holds half of it."""
    os.write(1, f"{line}\n".encode())


def die_within(step: str, line: int, delay_ms: float) -> None:
    """Arrange for the end at the ``line``-th line that the step runs; each time, a loop counts once."""
    owner, name = STEPS[step]
    original = getattr(owner, name)
    left = line

    def traced(*args: Any, **kwargs: Any) -> Any:
        seen: set[tuple[str, int]] = set()

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal left
            place = (frame.f_code.co_filename, frame.f_lineno)
            if not place[0].startswith(_SOURCES):
                return None
            if event == "line" and place not in seen:
                seen.add(place)
                left -= 1
                if left == 0:
                    say(f"!{step}")
                    end(delay_ms)
            return trace

        sys.settrace(trace)
        try:
            return original(*args, **kwargs)
        finally:
            sys.settrace(None)

    setattr(owner, name, traced)


def end(delay_ms: float) -> None:
    """Kill this process, now or in a moment."""
    if not delay_ms:
        os.kill(os.getpid(), signal.SIGKILL)

    def wait() -> None:
        time.sleep(delay_ms / 1000)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    main()
