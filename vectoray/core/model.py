"""Collections, points, queries and results, as every package passes them around.

Points travel in columns (`PointBatch`), vectors as float32 matrices, payloads as the JSON bytes that are
stored and sent back without being parsed again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vectoray.core.errors import InvalidRequest
from vectoray.core.filters import Filter

FloatMatrix = npt.NDArray[np.float32]
FloatVector = npt.NDArray[np.float32]

EMPTY_PAYLOAD = b"{}"


class Metric(StrEnum):
    """How two vectors are compared. Scores are always "higher is better".

    cosine: ``1 - distance``, the cosine of the angle, in [-1, 1].
    dot: the inner product.
    euclidean: ``1 / (1 + distance)``, in (0, 1].
    """

    COSINE = "cosine"
    DOT = "dot"
    EUCLIDEAN = "euclidean"


class IndexKind(StrEnum):
    """How a collection is searched, by the names that callers know.

    hnsw: over a graph.
    ivfflat: over the same graph: who asks for it wants an approximate index, and there is one kind here.
    flat: by comparing with every vector.
    """

    HNSW = "hnsw"
    IVFFLAT = "ivfflat"
    FLAT = "flat"

    @property
    def is_graph(self) -> bool:
        """Whether there is a graph to search over."""
        return self is not IndexKind.FLAT


class GraphType(StrEnum):
    """Numbers that a graph keeps of each vector to choose candidates by; scores are exact whatever it is.

    auto: i8 under cosine, where directions alone count and a byte a dimension tells them apart well enough;
        f32 otherwise.
    f16: Overflows beyond 65504.
    i8: Cosine only; each vector is scaled by its own largest component.
    """

    AUTO = "auto"
    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    I8 = "i8"


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How a collection's segments are indexed.

    HNSW is Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using
    Hierarchical Navigable Small World graphs" (2016); the names are the paper's.

    Attributes:
        kind: Graph or exact search.
        m: Links per node and layer.
        ef_construction: Candidates kept while a node is linked.
        ef_search: Candidates kept while a query walks the graph.
        seed: Order in which rows enter the graph; the same rows and seed give the same graph.
        graph_type: Numbers that the graph keeps of each vector.
    """

    kind: IndexKind = IndexKind.HNSW
    m: int = 16
    ef_construction: int = 128
    ef_search: int = 64
    seed: int = 42
    graph_type: GraphType = GraphType.AUTO

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "IndexOptions":
        """What `dataclasses.asdict` made of index options, also after a way through JSON.

        Raises:
            TypeError: A name is unknown.
            ValueError: A kind or type is unknown.
        """
        options = cls(**values)
        return replace(options, kind=IndexKind(options.kind), graph_type=GraphType(options.graph_type))


@dataclass(frozen=True, slots=True)
class Collection:
    """What a collection is; how full it is, is `CollectionStats`.

    Attributes:
        id: UUID, in the canonical text form. Names are for people, ids are for paths and processes.
        owner: The user whose collection this is.
        hosts: For each shard, the number of the host that owns it. How many shards there are never changes:
            a point's shard is a hash of its id.
        embedding_model: Turns text into vectors of ``dimension``, if the server has it: otherwise it is what
            the owner says of the vectors. None when nothing is known.
        config: What the owner keeps with the collection, a JSON object as UTF-8 bytes.
        embedding_model: Turns text into vectors of ``dimension``; None when only vectors are accepted.
        project_id: The project whose chunks are kept here; None for a collection that is somebody's own.
    """

    id: str
    name: str
    owner: str
    dimension: int
    metric: Metric
    index: IndexOptions
    hosts: tuple[int, ...]
    created_at: datetime
    updated_at: datetime
    description: str = ""
    embedding_model: str | None = None
    config: bytes | None = None
    project_id: str | None = None

    @property
    def shards(self) -> int:
        """Number of shards."""
        return len(self.hosts)


@dataclass(frozen=True, slots=True)
class CollectionStats:
    """How full a collection is.

    Attributes:
        points: Live points over all shards.
        last_write_ms: Unix time of the last acknowledged write in milliseconds; 0 if there was none.
        index_bytes: Size of the files of all segments: indexes, and the rows that they index. What was
            written since the last seal is in none.
        records: Rows that are kept: the live points, and those replaced or deleted that no merge has left
            out yet.
        writes: Points written, and points deleted, since the collection was made: one for each.
    """

    points: int
    last_write_ms: int
    index_bytes: int
    records: int
    writes: int


@dataclass(frozen=True, slots=True)
class Point:
    """One stored point.

    Attributes:
        vector: float32, shape (dimension,).
        payload: A JSON object, as UTF-8 bytes.
        text: What full-text search sees; None when the point has no text.
        seq: Position in the shard's history; a later write of the same id has a higher one.
        updated_ms: Unix time of the write in milliseconds.
        created_ms: Unix time of the write that made the id, in milliseconds: later writes keep it, until the
            id is deleted.
        source: The document that the point came from.
        chunk_index: Which chunk of it, from 0.
    """

    id: str
    vector: FloatVector
    payload: bytes
    text: str | None
    seq: int
    updated_ms: int
    created_ms: int
    source: str | None = None
    chunk_index: int | None = None


@dataclass(frozen=True, slots=True)
class PointBatch:
    """Points to write, in columns of equal length.

    Attributes:
        ids: Non-empty strings. An id given twice is written twice; the later row wins.
        vectors: float32, shape (n, dimension), C-contiguous.
        payloads: JSON objects as UTF-8 bytes.
        texts: What full-text search sees, or None.
        sources: The document that each point came from, or None. None for the column: no point has one.
        chunk_indexes: Which chunk of it, from 0 to 2^31-1, or None. None for the column: no point has one.
    """

    ids: Sequence[str]
    vectors: FloatMatrix
    payloads: Sequence[bytes]
    texts: Sequence[str | None]
    sources: Sequence[str | None] | None = None
    chunk_indexes: Sequence[int | None] | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.vectors.shape[0] != n or len(self.payloads) != n or len(self.texts) != n:
            raise InvalidRequest(
                f"A batch of {n} ids has {self.vectors.shape[0]} vectors, {len(self.payloads)} payloads "
                f"and {len(self.texts)} texts; all must be equal."
            )
        for name, column in (("sources", self.sources), ("chunk indexes", self.chunk_indexes)):
            if column is not None and len(column) != n:
                raise InvalidRequest(f"A batch of {n} ids has {len(column)} {name}; both must be equal.")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int]) -> "PointBatch":
        """The given rows, in the given order, as a new batch."""
        return PointBatch(
            ids=[self.ids[row] for row in rows],
            vectors=np.ascontiguousarray(self.vectors[list(rows)]),
            payloads=[self.payloads[row] for row in rows],
            texts=[self.texts[row] for row in rows],
            sources=None if self.sources is None else [self.sources[row] for row in rows],
            chunk_indexes=None if self.chunk_indexes is None else [self.chunk_indexes[row] for row in rows],
        )


class WriteMode(StrEnum):
    """What a write does with an id that is there already, or is not.

    upsert: writes in any case.
    insert: refuses an id that is there.
    update: refuses an id that is not there.
    """

    UPSERT = "upsert"
    INSERT = "insert"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a batch.

    Attributes:
        written: How many rows were written.
        refused: Positions in the batch of the rows that were not, in order.
    """

    written: int
    refused: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A question to a collection.

    Attributes:
        vector: float32, shape (dimension,).
        top_k: How many hits at most.
        filter: Only points that match.
        score_threshold: Only hits with at least this score.
        include_vectors: Whether hits carry their vector.
    """

    vector: FloatVector
    top_k: int = 10
    filter: Filter | None = None
    score_threshold: float | None = None
    include_vectors: bool = False


@dataclass(frozen=True, slots=True)
class Ranking:
    """How a hybrid search came to rank a hit where it did.

    Attributes:
        rank: Position among the hits, from 1.
        vector_score: Exact float32 score under the collection's metric; None when there was no vector.
        text_score: BM25 score, 0 without a word of the query; None when there was no text.
    """

    rank: int
    vector_score: float | None
    text_score: float | None


class Hit(NamedTuple):
    """One answer.

    Every search makes, and every answer of a shard host carries, ten of these: a tuple is made and pickled in
    a third of the time that a dataclass takes.

    Attributes:
        score: Exact float32 score under the collection's metric, or a hybrid search's fused score; higher is
            better.
        vector: float32, shape (dimension,), when the query asked for vectors.
        ranking: Of a hybrid search only. One field, as every search pays for each.
    """

    id: str
    score: float
    payload: bytes
    text: str | None
    vector: FloatVector | None = None
    ranking: Ranking | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, ties broken by id."""

    hits: Sequence[Hit] = field(default_factory=tuple)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)


def merge_hits(parts: Sequence[Sequence[Hit]], top_k: int) -> SearchResult:
    """The best ``top_k`` of several ranked lists: highest score first, ties broken by id."""
    hits = [hit for part in parts for hit in part]
    hits.sort(key=lambda hit: (-hit.score, hit.id))
    return SearchResult(tuple(hits[:top_k]))
