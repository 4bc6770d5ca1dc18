"""Row: files until their chunks are searchable, beside embedding alone; and the same files again."""

from scripts.bench.ingest.bench import Bench
from scripts.bench.ingest.documents import SETTINGS, text_documents
from scripts.bench.ingest.embedding_alone import Yardstick, engine_s, sentence_transformers_s
from scripts.bench.measurement import Figure, Measurement

_CHUNKS = 20_000
_COLLECTION = "files"
# Half of a sample is embedded before the ingestion and half after it, so that a machine that gets slower
# meanwhile does so for all.
_ENGINE_TEXTS, _PEER_TEXTS = 2_000, 500
_TO_PEER, _TO_ENGINE, _AGAIN = 3.0, 0.85, 10.0


def measure_files(bench: Bench) -> Measurement:
    """Chunks are counted once for each different text: what comes twice is embedded once."""
    documents = text_documents(bench.folder / "files", chunks=bench.scaled(_CHUNKS, least=1_000))
    engine = Sampled(engine_s, documents.sample(bench.scaled(_ENGINE_TEXTS, least=500)))
    peer = Sampled(sentence_transformers_s, documents.sample(bench.scaled(_PEER_TEXTS, least=60)))
    engine.measure_half()
    peer.measure_half()
    with bench.server("files-data", SETTINGS) as server:
        first_s = bench.ingest(server, documents.folder, _COLLECTION)
        found = server.count(_COLLECTION)
        again_s = bench.ingest(server, documents.folder, _COLLECTION)
    engine.measure_half()
    peer.measure_half()
    if found != documents.chunks:
        raise RuntimeError(f"of {documents.chunks} chunks, {found} are in the collection")
    per_s = len(documents.texts) / first_s
    return Measurement(
        "files",
        (
            Figure(
                "files -> searchable, to sentence-transformers' encode", _TO_PEER, peer.ratio_of(per_s), "x"
            ),
            Figure("... to the embedding engine alone", _TO_ENGINE, engine.ratio_of(per_s), "x"),
            Figure("the same files again, times as fast", _AGAIN, first_s / again_s, "x"),
        ),
        (
            (
                f"{documents.count} files, {documents.chunks:,} chunks, {len(documents.texts):,} different "
                f"ones of {documents.mean_tokens:.0f} tokens on average"
            ),
            f"first {first_s:.1f} s, again {again_s:.1f} s",
            f"{per_s:.1f} chunks/s from the start of the command to its end; {engine.said('the engine')}",
            peer.said("sentence-transformers"),
        ),
        {"first_s": first_s, "again_s": again_s, "engine_per_s": engine.per_s, "peer_per_s": peer.per_s},
    )


class Sampled:
    """One way to embed, measured in two halves on a sample of the chunks.

    Args:
        yardstick: Embeds some texts.
        texts: The sample.
    """

    def __init__(self, yardstick: Yardstick, texts: list[str]) -> None:
        self._yardstick = yardstick
        self._count = len(texts)
        self._waiting = [texts[::2], texts[1::2]]
        self._took_s = 0.0
        self._missing = ""

    def measure_half(self) -> None:
        """Embed every other text of the sample; the second time those that were left out."""
        try:
            self._took_s += self._yardstick(self._waiting.pop())
        except ModuleNotFoundError as error:
            self._missing = f"{error.name} is not installed"

    @property
    def per_s(self) -> float | None:
        """Chunks in a second, of both halves; None where it is not installed."""
        return None if self._missing else self._count / self._took_s

    def ratio_of(self, per_s: float) -> float | None:
        """How many times as fast a rate is."""
        return None if self.per_s is None else per_s / self.per_s

    def said(self, name: str) -> str:
        """The rate as a note of the table."""
        if self.per_s is None:
            return f"no {name}: {self._missing}"
        return f"{name}: {self.per_s:.1f} chunks/s, on a sample of {self._count} of them"
