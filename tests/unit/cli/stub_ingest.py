"""A program that keeps the contract of `pipelines.run` with the command line."""

import argparse
import json
import os
import sys
from pathlib import Path

REPORT = {
    "documents": 3,
    "documents_failed": 1,
    "failed": [{"source": "broken.pdf", "reason": "not a PDF"}],
    "files_skipped": 3,
    "skipped": [{"source": "photo.jpg", "reason": "unknown format"}],
}
RUN = {"chunks_written": 7, "chunks_unchanged": 2, "chunks_removed": 1, "seconds": 1.25, "chunks_per_s": 7.2}
FORECAST = {"kinds": {"PDF": 2, "HTML": 1}, "chunks": 9}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    for option in ("--data-dir", "--report", "--progress"):
        parser.add_argument(option, required=True)
    for option in ("--collection-id", "--text-column", "--id-column", "--title-column", "--strategy"):
        parser.add_argument(option)
    for option in ("--chunk-size", "--chunk-overlap"):
        parser.add_argument(option, type=int)
    for option in ("--urls", "--dry-run"):
        parser.add_argument(option, action="store_true")
    options = parser.parse_args()
    if os.environ.get("STUB_INGEST") == "mistake":
        sys.stderr.write("The collection has no embedding model.\n")
        sys.exit(2)
    given = {name: value for name, value in vars(options).items() if value}
    report = {**REPORT, **(FORECAST if options.dry_run else RUN), "given": given}
    if options.urls:
        report["list"] = Path(options.source).read_text()
    Path(options.report).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
