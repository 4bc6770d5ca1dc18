"""A program that keeps the contract of `pipelines.run` with the command line."""

import argparse
import json
import os
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    for option in ("--collection-id", "--data-dir", "--report"):
        parser.add_argument(option, required=True)
    options = parser.parse_args()
    if os.environ.get("STUB_INGEST") == "mistake":
        sys.stderr.write("The collection has no embedding model.\n")
        sys.exit(2)
    sys.stderr.write(f"reading {options.path} into {options.collection_id}\n")
    report = {
        "documents": 3,
        "failed": [{"source": "broken.pdf", "reason": "not a PDF"}],
        "skipped": [{"source": "photo.jpg", "reason": "unknown format"}],
        "chunks_written": 7,
        "chunks_unchanged": 2,
        "chunks_removed": 1,
        "seconds": 1.25,
    }
    Path(options.report).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
