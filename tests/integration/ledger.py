"""What a killed process said it was doing, and so the states that its shard may be in.

The process and its parent make the same operations from the same state and the same number of the run, so
numbers are all that goes through the pipe. Writes are acknowledged in order: the shard holds all operations
up to some number between the last acknowledged and the last announced.
"""

from collections.abc import Iterable
from dataclasses import asdict

import numpy as np
import orjson

from tests.unit.storage.oracle import Live, Oracle, Row
from tests.unit.storage.workload import next_operation

# Operation ``n`` of run ``r`` has number ``r * FIRST_OF_RUN + n``: no two rows of all runs are alike.
FIRST_OF_RUN = 10_000


def write_state(oracle: Oracle) -> bytes:
    """A state, as the process reads it."""
    points = [
        (name, live.seq, {**asdict(live.row), "payload": live.row.payload.decode()})
        for name, live in oracle.points.items()
    ]
    return orjson.dumps({"seq": oracle.seq, "points": points})


def read_state(data: bytes) -> Oracle:
    """What `write_state` wrote."""
    state = orjson.loads(data)
    return Oracle(
        {
            name: Live(
                Row(**{**row, "vector": tuple(row["vector"]), "payload": row["payload"].encode()}), seq
            )
            for name, seq, row in state["points"]
        },
        state["seq"],
    )


class Ledger:
    """Follows one run of the process."""

    def __init__(self, start: Oracle, run: int) -> None:
        self._start, self._run = start, run
        self.announced = self.acknowledged = run * FIRST_OF_RUN
        self.steps_reached: list[str] = []

    def follow(self, lines: Iterable[bytes]) -> Iterable[int]:
        """Note each line that the process said; yields how many there were so far."""
        for count, line in enumerate(lines, start=1):
            kind, rest = line[:1], line[1:].strip()
            if kind == b"?":
                self.announced = int(rest)
            elif kind == b"+":
                self.acknowledged = int(rest)
            else:
                self.steps_reached.append(rest.decode())
            yield count

    def allowed(self) -> list[Oracle]:
        """Every state that the shard may be in, oldest first."""
        state = self._start.copy()
        random = np.random.default_rng(self._run)
        states = [state.copy()] if self.acknowledged == self._run * FIRST_OF_RUN else []
        for number in range(self._run * FIRST_OF_RUN + 1, self.announced + 1):
            state.apply(next_operation(random, state, number))
            if number >= self.acknowledged:
                states.append(state.copy())
        return states
