"""Runs in a process of its own: measures one row, or makes a settled shard that a row needs.

``python -m scripts.bench.row NAME|SIZE --work DIR --into FILE``
"""

import argparse
import json
import logging
from pathlib import Path

import structlog

from scripts.bench.context import Context
from scripts.bench.rows import row_named
from scripts.bench.shards import settled_shard


def main() -> None:
    """Measure, and write what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", help="a row's name, or the size of a shard")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    context = Context(options.work, options.scale, options.full)
    if options.what.isdecimal():
        size = int(options.what)
        settled_shard(context.shard(size), context.corpus(size), context.scaled(size))
        return
    found = row_named(options.what).measure(context)
    options.into.write_text(json.dumps(found.to_json()))


if __name__ == "__main__":
    main()
