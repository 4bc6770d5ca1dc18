"""A process that writes to a shard and says on stdout what was acknowledged, until it is killed.

``+id`` is written after an upsert was acknowledged, ``?id`` before a delete and ``-id`` after it.
"""

import sys
from pathlib import Path

import numpy as np

from storage.settings import StorageSettings
from storage.writer import ShardWriter
from vectoray.core.model import PointBatch


def main() -> None:
    """Write for ever. Arguments: the shard's folder, and the number of this run."""
    directory, run = Path(sys.argv[1]), int(sys.argv[2])
    settings = StorageSettings(seal_rows=40, merge_factor=2, flush_rows=60, flush_interval_s=0.2)
    writer = ShardWriter(directory, settings)
    random = np.random.default_rng(run)
    number = 0
    while True:
        ids = [f"{run}-{number}-{row}" for row in range(int(random.integers(1, 12)))]
        number += 1
        vectors = random.standard_normal((len(ids), 8)).astype(np.float32)
        writer.upsert(PointBatch(ids, vectors, [b"{}"] * len(ids), [None] * len(ids))).result()
        sys.stdout.write("".join(f"+{point_id}\n" for point_id in ids))
        if number % 3 == 0:
            sys.stdout.write(f"?{ids[0]}\n")
            sys.stdout.flush()
            writer.delete(ids[:1]).result()
            sys.stdout.write(f"-{ids[0]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
