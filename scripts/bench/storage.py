"""Measures the storage engine against its required figures.

``make bench-storage``, or ``python -m scripts.bench.storage [--only ROW...] [--full] [--scale 0.1] [--profile
ROW]``. Prints a table, writes ``.bench/storage.json``, and ends with status 1 when a figure is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.bench import hot_spots, machine
from scripts.bench.context import Context, Row
from scripts.bench.corpus import comparison, load_corpus
from scripts.bench.measurement import Measurement
from scripts.bench.noise import with_noise
from scripts.bench.other_load import CpuSeconds
from scripts.bench.rows import ROWS
from scripts.bench.table import render
from scripts.bench.text_vectors import CACHE

RESULT = CACHE / "storage.json"
_CORES = 2
_POINTS, _POINTS_FULL = 200_000, 1_000_000
_LIMIT_S, _LIMIT_FULL_S = 900, 7200


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows. Returns the exit status."""
    options = _parser().parse_args(arguments)
    names = [options.profile] if options.profile else options.only
    rows = [row for row in ROWS if not names or row.name in names]
    CACHE.mkdir(exist_ok=True)
    profiler = hot_spots.py_spy() if options.profile else None
    if options.profile and profiler is None:
        print("py-spy is not installed, so there is no profile: pip install py-spy", file=sys.stderr)
        return 2
    described = machine.describe(CACHE)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="storage-") as work:
        context = Context(Path(work), options.scale, options.full)
        # Once, before anything is measured: it takes a minute the first time.
        load_corpus(context.scaled(_POINTS_FULL if options.full else _POINTS))
        found = [_measured(row, context, profiler) for row in rows]
    print(render(found))
    if options.scale != 1:
        print(f"At scale {options.scale:g}: the required figures hold for scale 1.")
    if profiler:
        return 0
    RESULT.write_text(
        json.dumps(
            {
                "machine": described,
                "scale": options.scale,
                "full": options.full,
                "points": comparison(),
                "ok": all(measurement.ok for measurement in found),
                "rows": [measurement.to_json() for measurement in found],
            },
            indent=1,
        )
    )
    print(f"{described['cpu']}, {described['cores']} cores, {described['file_system']}. In full: {RESULT}")
    return 0 if all(measurement.ok for measurement in found) else 1


def _parser() -> argparse.ArgumentParser:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.storage", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, metavar="ROW", help=", ".join(names))
    parser.add_argument("--full", action="store_true", help="a million points too: many minutes")
    parser.add_argument("--scale", type=float, default=1.0, help="fewer points, to try the rows out")
    parser.add_argument("--profile", choices=names, metavar="ROW", help="run one row under py-spy")
    return parser


def _measured(row: Row, context: Context, profiler: str | None) -> Measurement:
    for size in row.needs(context):
        if not context.shard(size).exists():
            _announce(f"a settled shard of {context.scaled(size):,}")
            error = _run(_command(str(size), context), _CORES, context)
            if error is not None:
                return Measurement(row.name, error=f"its shard could not be made: {error}")
    _announce(row.title)
    into = context.work / f"{row.name}.json"
    command = [*_command(row.name, context), "--into", str(into)]
    stacks = CACHE / f"profile-{row.name}.txt"
    if profiler:
        command = hot_spots.under(profiler, command, stacks)
    before = CpuSeconds.now()
    error = _run(command, row.cores, context)
    if error is not None:
        return Measurement(row.name, error=error)
    others = CpuSeconds.now().others_since(before)
    if profiler:
        print(f"Where the samples were taken ({stacks}; slower than without a profiler):")
        for frame, share in hot_spots.hottest(stacks.read_text().splitlines(), 20):
            print(f"  {share:6.1%}  {frame}")
    return with_noise(Measurement.from_json(json.loads(into.read_text())), others)


def _command(what: str, context: Context) -> list[str]:
    command = [sys.executable, "-m", "scripts.bench.row", what]
    command += ["--work", str(context.work), "--scale", str(context.scale)]
    return [*command, "--full"] if context.full else command


def _run(command: Sequence[str], cores: int, context: Context) -> str | None:
    """Run a process on some cores. Returns what went wrong, or None."""
    allowed = os.sched_getaffinity(0)
    # Inherited, also by the threads that numpy starts when it is imported.
    os.sched_setaffinity(0, sorted(allowed)[:cores])
    began_s = time.monotonic()
    try:
        ended = subprocess.run(
            command,
            env={**os.environ, "OPENBLAS_NUM_THREADS": str(cores)},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=_LIMIT_FULL_S if context.full else _LIMIT_S,
        )
    except subprocess.TimeoutExpired as error:
        return f"took longer than {error.timeout:g} s"
    finally:
        os.sched_setaffinity(0, allowed)
    print(f" ({time.monotonic() - began_s:.0f} s)", file=sys.stderr)
    if ended.returncode:
        print(ended.stderr, file=sys.stderr)
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        return f"its process ended with status {ended.returncode}: {last}"
    return None


def _announce(what: str) -> None:
    print(f"Measuring: {what} ...", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
