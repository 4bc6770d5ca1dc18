"""Row: memory of the server and the driver together, while a gigabyte of web pages is ingested."""

from dataclasses import asdict

from scripts.bench.ingest.bench import Bench
from scripts.bench.ingest.documents import SETTINGS, page_copies
from scripts.bench.ingest.memory_curve import MemoryCurve, growth, sample
from scripts.bench.measurement import Figure, Measurement
from scripts.bench.serving.service import wait_until_idle

_CORPUS_BYTES = 10**9
_COLLECTION = "pages"
# Of the server and the ingestion together, whatever the corpus: a machine of 8 GiB has room for it.
_BOUND_MIB = 6_144
# A curve that rose with the corpus would reach twice the height.
_GROWTH = 1.2
_CALM_LIMIT_S = 30
_PROGRAMS_SHOWN = 6


def measure_memory(bench: Bench) -> Measurement:
    """The same pages over and over: each is read, cut and stored, its text embedded the first time."""
    pages = bench.folder / "pages"
    files, size = page_copies(pages, size_bytes=bench.scaled(_CORPUS_BYTES, least=10**6))
    with bench.server("memory-data", SETTINGS) as server:
        wait_until_idle(server.pid, limit_s=_CALM_LIMIT_S)
        idle = sample([server.pid])
        with (
            bench.ingesting(server, pages, _COLLECTION) as ingestion,
            MemoryCurve(lambda: [server.pid, ingestion.pid]) as curve,
        ):
            ingestion.wait()
        chunks = server.count(_COLLECTION)
    samples = curve.samples
    peak = max(samples, key=lambda one: one.held)
    rise = growth([one.held for one in samples])
    largest = list(peak.by_program.items())[:_PROGRAMS_SHOWN]
    of_programs = ", ".join(f"{program} {_mib(held)}" for program, held in largest)
    return Measurement(
        "memory",
        (
            Figure(
                "memory at the peak of an ingestion",
                _BOUND_MIB,
                peak.held / 2**20,
                "MiB",
                at_most=True,
            ),
            Figure("... its second half, to its first", _GROWTH, rise, "x", at_most=True),
        ),
        (
            f"{size / 1e6:,.0f} MB in {files:,} files, {chunks:,} chunks, {samples[-1].at_s:,.0f} s",
            (
                f"anonymous and shared memory of all processes; {_mib(idle.held)} before, with mapped files "
                f"at most {_mib(max(one.pss for one in samples))}"
            ),
            f"at the peak: {of_programs}",
        ),
        {
            "idle": asdict(idle),
            "peak": asdict(peak),
            "curve": [{"at_s": one.at_s, "pss": one.pss, "held": one.held} for one in samples],
            "bound": _BOUND_MIB * 2**20,
        },
    )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"
