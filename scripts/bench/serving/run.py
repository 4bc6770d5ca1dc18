"""Measures the search path, through REST, against its required figures and against other systems.

``make bench-search``, or ``python -m scripts.bench.serving.run [--only ROW...] [--quick]``. Prints a table,
writes JSON and a picture into ``.bench/results``, and ends with status 1 when a figure is missed.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

from scripts.bench import machine
from scripts.bench.measurement import Measurement
from scripts.bench.noise import with_noise
from scripts.bench.other_load import CpuSeconds
from scripts.bench.serving import wrk
from scripts.bench.serving.effort import FULL, QUICK, Effort
from scripts.bench.serving.peers import bare, chroma, pgvector
from scripts.bench.serving.points import Points, load_points
from scripts.bench.serving.rest import Refused
from scripts.bench.serving.rows.order import ROWS, Row
from scripts.bench.serving.session import Session, open_session, say
from scripts.bench.table import render
from scripts.bench.text_vectors import CACHE

_RESULTS = CACHE / "results"
_FAILURES = (Refused, HTTPException, OSError, RuntimeError, ValueError, KeyError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows. Returns the exit status."""
    options = _parser().parse_args(arguments)
    # So that a run that is ended stops what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not wrk.is_installed():
        print(wrk.MISSING, file=sys.stderr)
        return 2
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    effort = QUICK if options.quick else FULL
    points = load_points(effort.points)
    _RESULTS.mkdir(parents=True, exist_ok=True)
    described = machine.describe(CACHE)
    began_s = time.monotonic()
    try:
        found, settings = _all_measured(rows, effort, points)
    except _FAILURES as error:
        print(f"\nNothing could be measured: {error}", file=sys.stderr)
        return 1
    print(file=sys.stderr)
    print(render(found))
    if options.quick:
        print("A quick run: the required figures hold for a full one.")
    result: dict[str, Any] = {
        "machine": described,
        "peers": [*chroma.PACKAGES, *bare.PACKAGES, *pgvector.PACKAGES],
        "settings": dict(settings),
        "effort": asdict(effort),
        "seconds": round(time.monotonic() - began_s),
        "ok": all(measurement.ok for measurement in found),
        "rows": [measurement.to_json() for measurement in found],
    }
    _report(result, _RESULTS / f"search-path-{datetime.fromisoformat(described['date']):%Y%m%d-%H%M%S}.json")
    return 0 if result["ok"] else 1


def _parser() -> argparse.ArgumentParser:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.serving.run", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, metavar="ROW", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="try it out in a few minutes; judges little")
    return parser


def _all_measured(
    rows: Sequence[Row], effort: Effort, points: Points
) -> tuple[list[Measurement], Mapping[str, str]]:
    """What the rows found, and the server's settings."""
    needs = frozenset[str]().union(*(row.needs for row in rows))
    with (
        tempfile.TemporaryDirectory(dir=CACHE, prefix="search-path-") as folder,
        open_session(Path(folder).absolute(), effort, points, needs) as session,
    ):
        return [_measured(row, session) for row in rows], session.vectoray.settings


def _measured(row: Row, session: Session) -> Measurement:
    say(f"Measuring: {row.name}")
    before = _cpu(session)
    try:
        found = row.measure(session)
    except _FAILURES as error:
        return Measurement(row.name, error=f"{type(error).__name__}: {error}")
    # A row that was measured earlier knows of its own time.
    others = found.details.get("cores_used_by_others", _cpu(session).others_since(before))
    return with_noise(found, others)


def _cpu(session: Session) -> CpuSeconds:
    now = CpuSeconds.now(session.pids)
    return replace(now, own=now.own + session.ended_cpu_s)


def _report(result: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(result, indent=1))
    host = result["machine"]
    print(
        f"{host['cpu']}, {host['cores']} cores, {host['file_system']}; {result['seconds']} s. In full: {path}"
    )
    curves = [row["details"]["curves"] for row in result["rows"] if "curves" in row["details"]]
    if not curves:
        return
    try:
        from scripts.bench.serving.curves import draw_curves  # noqa: PLC0415 - the figures do not depend on it
    except ModuleNotFoundError:
        print("No picture: matplotlib is not installed (scripts/install.sh bench).")
        return
    picture = path.with_suffix(".png")
    points = f"{result['effort']['points']:,} text embeddings (384-d)"
    title = f"Search, k=10 with payload, {points}, {host['cores']} cores shared with the load generator"
    draw_curves(curves[0], title, picture)
    print(f"Curves: {picture}")


if __name__ == "__main__":
    sys.exit(main())
