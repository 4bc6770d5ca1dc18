"""Ingestion as a streaming Ray Data plan: list, fetch, read and compare, embed, store; with backpressure.

Every row is a list of documents or a parcel, and every row is a block of its own: Ray neither cuts nor joins
them. Each stage but reading makes one row of one, and reading makes the same rows when it is repeated, so a
task that is run again after the death of its worker loses nothing.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from cluster.settings import ClusterSettings
from cluster.tally import Tally
from pipelines.embedding_workers import chunk_embedder, embedding_workers
from pipelines.fetch import Fetcher, FetchSettings
from pipelines.listing import in_lists
from pipelines.pages import fetch_pages
from pipelines.parcels import Parcel, Part, compare, decode, embed, encode, read, store
from pipelines.parse.isolated import IsolatedParser
from pipelines.settings import PipelineSettings
from pipelines.source_request import SourceRequest
from pipelines.sources import PageDocument, Unread
from pipelines.workers import engine_of_worker, give_way
from vectoray.core.model import Collection
from vectoray.embedding import EmbeddingSettings, ModelInfo, ModelRegistry, TokenCounter
from vectoray.embedding.model import model_of

# A small machine has fewer CPUs than stages; a stage that asked for a whole one would wait for ever.
_STAGE_CPUS = 0.25
# Not what reading asks for: Ray would make one task of both, and nothing would be read at the same time.
_LIST_CPUS = 0.125
# Two lists of up to 64 pages each: while one waits for its slowest host, the other goes on.
_LISTS_FETCHED_AT_ONCE = 2

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ingestion:
    """What the stages need to know.

    Attributes:
        request: What to ingest.
        collection: Where to; it has an embedding model.
        data_dir: The server's, in which nodes keep converted models and vectors.
        cluster: How to reach the shards.
        pipelines: Sizes and limits.
        embedding: The models.
    """

    request: SourceRequest
    collection: Collection
    data_dir: Path
    cluster: ClusterSettings
    pipelines: PipelineSettings
    embedding: EmbeddingSettings

    @property
    def model(self) -> ModelInfo:
        """What embeds the chunks.

        Raises:
            InvalidRequest: The collection has no embedding model that fits it.
        """
        return model_of(self.collection, ModelRegistry(self.embedding).models)


def stored_parcels(ingestion: Ingestion, tally: Tally) -> Iterator[Parcel]:
    """Run the pipeline; yields every parcel once it is stored.

    Args:
        ingestion: What, where to, and how.
        tally: Counts ``listed``, ``fetched`` and ``read`` documents, and chunks that are ``changed``,
            ``embedded`` and ``stored``.

    Raises:
        InvalidRequest: The collection has no embedding model that fits it.
        Unavailable: Embedding is to run on a GPU and there is none.
    """
    gpus_of_cluster = float(ray.cluster_resources().get("GPU", 0))
    workers = embedding_workers(ingestion.pipelines, ingestion.model, cluster_gpus=gpus_of_cluster)
    # By what they ask for, there would be four times as many, and a process for each.
    one_a_cpu = ray.data.TaskPoolStrategy(size=max(1, int(ray.cluster_resources().get("CPU", 1))))
    with ray.data.DataContext.current(_context()):
        rows = ray.data.read_datasource(
            _Listing(partial(_listed, ingestion, tally)), override_num_blocks=1, num_cpus=_LIST_CPUS
        )
        if ingestion.request.is_web:
            rows = rows.flat_map(
                _FetchPages,
                fn_constructor_args=(ingestion.pipelines.fetch, ingestion.pipelines.niceness, tally),
                compute=ray.data.ActorPoolStrategy(
                    size=1, max_concurrent_calls_per_actor=_LISTS_FETCHED_AT_ONCE
                ),
                num_cpus=_STAGE_CPUS,
            )
        rows = (
            rows.flat_map(partial(_read, ingestion, tally), compute=one_a_cpu, num_cpus=_STAGE_CPUS)
            .map(
                _EmbedParcels,
                fn_constructor_args=(ingestion, workers.gpus, tally),
                compute=ray.data.ActorPoolStrategy(size=workers.count),
                num_cpus=_STAGE_CPUS,
                num_gpus=workers.gpus,
            )
            .map(partial(_store, ingestion, tally), compute=one_a_cpu, num_cpus=_STAGE_CPUS)
        )
    for row in rows.iter_rows():
        yield decode(row["items"])


def _context() -> Any:
    context = ray.data.DataContext.get_current().copy()
    context.target_max_block_size = 1
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # It would tell, in the terminal of whoever watches, that it draws no bars.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return context


class _Listing(Datasource):
    """One task that lists: how much there is, nobody knows before."""

    def __init__(self, rows: Callable[[], Iterator[Row]]) -> None:
        self._rows = rows

    def get_name(self) -> str:
        return "List"

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, *_: Any, **__: Any) -> list[ReadTask]:
        rows = self._rows

        def blocks() -> Iterable[Any]:
            return (pa.Table.from_pylist([row]) for row in rows())

        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(blocks, unknown)]


def _listed(ingestion: Ingestion, tally: Tally) -> Iterator[Row]:
    give_way(ingestion.pipelines.niceness)
    for items in in_lists(ingestion.request.listed(ingestion.pipelines)):
        tally.add(listed=sum(not isinstance(item, Unread) for item in items))
        yield _row(items)


class _FetchPages:
    """Fetches lists of pages; each page is then a row."""

    def __init__(self, settings: FetchSettings, niceness: int, tally: Tally) -> None:
        give_way(niceness)
        self._settings, self._tally = settings, tally
        self._fetcher: Fetcher | None = None

    async def __call__(self, row: Row) -> AsyncIterator[Row]:
        found = await fetch_pages(decode(row["items"]), await self._opened())
        self._tally.add(fetched=sum(isinstance(item, PageDocument) for item in found))
        for item in found:
            yield _row([item])

    async def _opened(self) -> Fetcher:
        """One for the life of this worker: it knows when a host may be asked again."""
        if self._fetcher is None:
            self._fetcher = Fetcher(self._settings)
            await self._fetcher.__aenter__()
        return self._fetcher


def _read(ingestion: Ingestion, tally: Tally, row: Row) -> Iterator[Row]:
    pipelines = ingestion.pipelines
    give_way(pipelines.niceness)
    parcels = read(
        decode(row["items"]),
        pipelines,
        parse=_parser_of_worker(pipelines).parse,
        tokens=_tokens_of_worker(ingestion.model.name, ingestion.embedding),
        on_read=lambda _: tally.add(read=1),
    )
    for parcel in parcels:
        compared = compare(parcel, ingestion.collection, engine_of_worker(ingestion.cluster))
        tally.add(changed=_chunks_in(compared))
        yield _row(compared)


class _EmbedParcels:
    """Gives parcels their vectors. One loaded model a process."""

    def __init__(self, ingestion: Ingestion, gpus: float, tally: Tally) -> None:
        # First: the model's threads are as nice as who starts them.
        give_way(ingestion.pipelines.niceness)
        self._tally = tally
        self._embedder = chunk_embedder(
            ingestion.model.name,
            embedding=ingestion.embedding,
            pipelines=ingestion.pipelines,
            data_dir=ingestion.data_dir,
            gpu_offered=gpus > 0,
        )

    def __call__(self, row: Row) -> Row:
        parcel = embed(decode(row["items"]), self._embedder.embed)
        self._tally.add(embedded=_chunks_in(parcel))
        return _row(parcel)


def _store(ingestion: Ingestion, tally: Tally, row: Row) -> Row:
    give_way(ingestion.pipelines.niceness)
    parcel = decode(row["items"])
    stored = store(parcel, ingestion.collection, engine_of_worker(ingestion.cluster))
    tally.add(stored=sum(item.written for item in stored if isinstance(item, Part)))
    return _row(stored)


def _row(items: Sequence[object]) -> Row:
    return {"items": encode(items)}


def _chunks_in(parcel: Parcel) -> int:
    return sum(len(item.chunks) for item in parcel if isinstance(item, Part))


@cache
def _parser_of_worker(pipelines: PipelineSettings) -> IsolatedParser:
    """What parses for this Ray worker: no document can harm it."""
    return IsolatedParser(pipelines.parse, max_file_bytes=pipelines.max_file_bytes)


@cache
def _tokens_of_worker(model_name: str, embedding: EmbeddingSettings) -> TokenCounter | None:
    """What counts a model's tokens in this Ray worker."""
    return ModelRegistry(embedding).token_counter(model_name)
