"""Row: searches of all systems at 1, 4, 16 and 64 connections, in turns."""

from collections.abc import Mapping
from http.client import HTTPException

from scripts.bench.measurement import Figure, Measurement
from scripts.bench.serving.drive import Drives
from scripts.bench.serving.peers import bare, chroma
from scripts.bench.serving.rest import Refused
from scripts.bench.serving.session import Session
from scripts.bench.serving.target import Target, in_turns
from scripts.bench.serving.vectoray_server import NAME

RECALL = 0.99
_FEW, _MANY = 1, 16
_TO_CHROMA_MANY, _TO_BARE_MANY, _TO_CHROMA_ONE = 2.8, 0.6, 1.8
_P99_MS = 25.0

_Curves = Mapping[str, Mapping[int, Drives]]


def measure_search(session: Session) -> Measurement:
    """Answers are checked against the exact ones first, through the same requests."""
    effort = session.effort
    recalls = {NAME: session.points.recall(session.target.answers(effort.recall_queries))}
    targets: list[Target] = [session.target]
    for peer in session.peers:
        try:
            recalls[peer.name] = session.points.recall(peer.answers(effort.recall_queries))
        except (Refused, HTTPException, OSError, ValueError, RuntimeError) as error:
            session.missing[peer.name] = str(error)
        else:
            targets.append(peer)
    found = in_turns(targets, effort.levels, rounds=effort.rounds, seconds=effort.seconds)
    ours = found[NAME]
    session.sweep = {level: drives.rate for level, drives in ours.items()}
    refused = sum(drives.refused for drives in ours.values())
    figures = (
        Figure(
            f"search, {_MANY} connections, to Chroma", _TO_CHROMA_MANY, _ratio(found, chroma.NAME, _MANY), "x"
        ),
        Figure("... to bare uvicorn + usearch", _TO_BARE_MANY, _ratio(found, bare.NAME, _MANY), "x"),
        Figure(f"... {_FEW} connection, to Chroma", _TO_CHROMA_ONE, _ratio(found, chroma.NAME, _FEW), "x"),
        Figure(f"... p99 at {_MANY} connections", _P99_MS, ours[_MANY].p99_ms, "ms", at_most=True),
        Figure(f"... recall@10 of {effort.recall_queries} queries", RECALL, recalls[NAME], ""),
        Figure("... requests without a good answer", 0, refused, "", at_most=True),
    )
    return Measurement("search", figures, tuple(_notes(session, found, recalls)), _details(found, recalls))


def _ratio(found: _Curves, system: str, connections: int) -> float | None:
    if system not in found:
        return None
    return found[NAME][connections].ratio_to(found[system][connections])


def _notes(session: Session, found: _Curves, recalls: Mapping[str, float]) -> list[str]:
    notes = [f"{session.points.stored:,} points, k=10 with payload; {session.rest}"]
    for system, levels in found.items():
        few = "" if recalls[system] >= RECALL else f", LESS THAN {RECALL}: not comparable"
        notes.append(
            f"{system}, recall {recalls[system]:.4f}{few}; {_FEW} connection: {levels[_FEW]}; "
            f"{_MANY}: {levels[_MANY]}"
        )
    return notes + [f"no {system}: {reason}" for system, reason in session.missing.items()]


def _details(found: _Curves, recalls: Mapping[str, float]) -> dict[str, object]:
    curves = {
        system: {str(connections): drives.to_json() for connections, drives in levels.items()}
        for system, levels in found.items()
    }
    return {"recall": dict(recalls), "curves": curves}
