"""Measures ingestion, driven as a user drives it, against its required figures.

``make bench-ingest``, or ``python -m scripts.bench.ingest.run [--only ROW...] [--scale 0.05]``. Prints a
table, writes JSON and a picture into ``.bench/results``, and ends with status 1 when a figure is missed.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

from scripts.bench import machine
from scripts.bench.ingest.bench import Bench
from scripts.bench.ingest.documents import NoDocuments
from scripts.bench.ingest.rows.order import ROWS, Row
from scripts.bench.measurement import Measurement
from scripts.bench.noise import with_noise
from scripts.bench.serving.rest import Refused
from scripts.bench.table import render
from scripts.bench.text_vectors import CACHE

_RESULTS = CACHE / "results"
_FAILURES = (
    NoDocuments,
    Refused,
    HTTPException,
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    subprocess.SubprocessError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows. Returns the exit status."""
    options = _parser().parse_args(arguments)
    # So that a run that is ended stops what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    _RESULTS.mkdir(parents=True, exist_ok=True)
    described = machine.describe(CACHE)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="ingest-") as folder:
        bench = Bench(Path(folder).absolute(), options.scale)
        found = [measured(row, bench) for row in rows]
    print(render(found))
    if options.scale != 1:
        print(f"At scale {options.scale:g}: the required figures hold for scale 1.")
    result: dict[str, Any] = {
        "machine": described,
        "scale": options.scale,
        "seconds": round(time.monotonic() - began_s),
        "ok": all(measurement.ok for measurement in found),
        "rows": [measurement.to_json() for measurement in found],
    }
    _report(result, _RESULTS / f"ingest-{datetime.fromisoformat(described['date']):%Y%m%d-%H%M%S}.json")
    return 0 if result["ok"] else 1


def _parser() -> argparse.ArgumentParser:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.ingest.run", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, metavar="ROW", help=", ".join(names))
    parser.add_argument("--scale", type=float, default=1.0, help="less work, to try the rows out")
    return parser


def measured(row: Row, bench: Bench) -> Measurement:
    """What a row found; a failure of the row is a measurement that failed."""
    print(f"Measuring: {row.name} ...", end="", file=sys.stderr, flush=True)
    began_s, before = time.monotonic(), bench.used()
    try:
        found = row.measure(bench)
    except _FAILURES as error:
        return Measurement(row.name, error=f"{type(error).__name__}: {error}")
    finally:
        print(f" ({time.monotonic() - began_s:.0f} s)", file=sys.stderr)
    return with_noise(found, bench.used().others_since(before))


def _report(result: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(result, indent=1))
    host = result["machine"]
    print(
        f"{host['cpu']}, {host['cores']} cores, {host['file_system']}; {result['seconds']} s. In full: {path}"
    )
    memory = [row["details"] for row in result["rows"] if "curve" in row["details"]]
    if not memory:
        return
    try:
        from scripts.bench.ingest.draw_memory import draw_memory  # noqa: PLC0415 - no figure depends on it
    except ModuleNotFoundError:
        print("No picture: matplotlib is not installed (scripts/install.sh bench).")
        return
    picture = path.with_suffix(".png")
    title = "Memory of the server and an ingestion"
    draw_memory(memory[0]["curve"], bound_bytes=memory[0]["bound"], title=title, path=picture)
    print(f"Memory over time: {picture}")


if __name__ == "__main__":
    sys.exit(main())
