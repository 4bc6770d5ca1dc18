"""Something that answers searches, and several of them asked in turns."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from scripts.bench.serving import wrk
from scripts.bench.serving.drive import Drive, Drives
from scripts.bench.serving.rest import Connection

_WARM_UP_S = 1


class Target(Protocol):
    """One way to ask one system; the queries are its own."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    def drive(self, connections: int, seconds: float) -> Drive:
        """Ask for some seconds."""

    def answers(self, count: int) -> list[list[int]]:
        """Rows that the first queries find, best first, through the same calls."""


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """A search endpoint, driven by wrk.

    Attributes:
        rows_of: Takes rows out of the body of an answer; raises ``ValueError`` when the answer is wrong.
    """

    name: str
    requests: wrk.Requests
    rows_of: Callable[[bytes], list[int]]

    def drive(self, connections: int, seconds: float) -> Drive:
        """Ask for some seconds."""
        return wrk.drive(self.requests, connections=connections, seconds=seconds)

    def answers(self, count: int) -> list[list[int]]:
        """Rows that the first queries find."""
        parts = urlsplit(self.requests.url)
        with self.requests.bodies.open("rb") as bodies, Connection(self.requests.url) as connection:
            asked = zip(range(count), bodies, strict=False)
            answers = [connection.send("POST", parts.path, body.strip()) for _, body in asked]
        try:
            return [self.rows_of(answer) for answer in answers]
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error


def http_target(
    name: str, url: str, bodies: Sequence[bytes], folder: Path, rows_of: Callable[[bytes], list[int]]
) -> HttpTarget:
    """An endpoint and what to send to it; the bodies are kept in the folder."""
    path = wrk.write_bodies(folder / f"{name.replace(' ', '-').replace('/', '-')}.jsonl", bodies)
    return HttpTarget(name, wrk.Requests(url, path), rows_of)


def in_turns(
    targets: Sequence[Target], levels: Sequence[int], *, rounds: int, seconds: float
) -> Mapping[str, Mapping[int, Drives]]:
    """Drive each target at each number of connections, one target after the other in every round.

    So whatever else the machine does hits all of them alike, and a ratio is one of neighbours in time.

    Returns:
        For each target's name, for each number of connections, what was seen.
    """
    for target in targets:
        target.drive(max(levels[0], 4), _WARM_UP_S)
    found: dict[str, dict[int, Drives]] = {target.name: {} for target in targets}
    for level in levels:
        seen: dict[str, list[Drive]] = {target.name: [] for target in targets}
        for _ in range(rounds):
            for target in targets:
                print(".", end="", file=sys.stderr, flush=True)
                seen[target.name].append(target.drive(level, seconds))
        for name, drives in seen.items():
            found[name][level] = Drives(drives)
    return found
