"""Row: memory that a shard takes besides its mapped files, which the kernel can take back at any time."""

import re
from pathlib import Path

from scripts.bench.batches import ROWS
from scripts.bench.context import Context
from scripts.bench.corpus import load_corpus
from scripts.bench.measurement import Figure, Measurement
from scripts.bench.processes import in_new_process
from scripts.bench.searching import search_all
from scripts.bench.shards import open_shard

_SEARCHES = 2000
_REQUIRED_BYTES = 60.0
_ROLLUP = Path("/proc/self/smaps_rollup")
_LINE = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)


def measure_memory(context: Context) -> Measurement:
    """A process that opened the shard and searched it, less the same process with an empty shard."""
    rows = context.scaled(ROWS)
    opened, searched = in_new_process(resident_memory, context.shard(ROWS))
    empty_opened, empty = in_new_process(resident_memory, context.work / "empty")
    per_vector = (searched["Anonymous"] - empty["Anonymous"]) / rows
    mapped = (searched["Rss"] - searched["Anonymous"] - empty["Rss"] + empty["Anonymous"]) / rows
    name = f"resident memory a vector, {rows:,}, beyond mapped files"
    return Measurement(
        "memory",
        (Figure(name, _REQUIRED_BYTES, per_vector, "bytes", at_most=True),),
        (
            (
                f"anonymous memory with {rows:,} points: {_mib(opened['Anonymous'])} when opened, "
                f"{_mib(searched['Anonymous'])} after {_SEARCHES} searches; with none: "
                f"{_mib(empty_opened['Anonymous'])}, {_mib(empty['Anonymous'])}"
            ),
            f"mapped files besides: {mapped:,.0f} bytes a vector resident after the searches",
        ),
        {"opened": opened, "searched": searched, "empty_opened": empty_opened, "empty_searched": empty},
    )


def resident_memory(directory: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Memory of this process with the shard open, and after searches: bytes, by the kernel's names."""
    corpus = load_corpus(1)
    # The buffers of the matrix library are the process's, not the shard's: both processes have them.
    _ = corpus.queries @ corpus.queries.T
    with open_shard(directory, corpus.vectors.shape[1]) as writer:
        opened = parse_rollup(_ROLLUP.read_text())
        search_all(writer, corpus.queries, warm_up=_SEARCHES - len(corpus.queries), for_s=0.0)
        return opened, parse_rollup(_ROLLUP.read_text())


def parse_rollup(text: str) -> dict[str, int]:
    """The sums of ``smaps_rollup``, in bytes by name."""
    return {name: 1024 * int(size) for name, size in _LINE.findall(text)}


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.1f} MiB"
