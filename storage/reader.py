"""ShardReader: searches a shard from any process of the node, over the files its owner publishes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage import files, shard
from storage.log import WriteLog
from storage.manifest import GenerationCounter, Manifest, manifest_generations, read_manifest
from storage.segment import Segment
from storage.view import ShardView
from vectoray.core.errors import CorruptData, ShardUnavailable
from vectoray.core.hybrid import Candidate, HybridQuery
from vectoray.core.model import Point, SearchQuery, SearchResult

_MAX_ATTEMPTS = 20
_NOTHING_SEEN = (-1, 0)


def open_view(
    directory: Path,
    spec: shard.ShardSpec,
    manifest: Manifest,
    *,
    opened: Mapping[str, Segment] | None = None,
    verify: bool,
) -> tuple[ShardView, dict[str, Segment]]:
    """The state a manifest describes, before the log.

    Args:
        directory: The shard's folder.
        spec: What the shard is.
        manifest: Which segments and which dead rows.
        opened: Segments that are mapped already.
        verify: Whether to check every file against its checksum.

    Returns:
        The view, and its segments by name.

    Raises:
        CorruptData: A segment or a list of dead rows is missing or damaged.
    """
    segments = {
        name: (opened or {}).get(name)
        or Segment(directory / shard.SEGMENTS / name, spec.metric, spec.index, verify=verify)
        for name in manifest.segments
    }
    dead = {name: read_dead_rows(directory, file) for name, file in manifest.dead.items()}
    view = ShardView.of_segments(
        list(segments.values()),
        dead,
        dimension=spec.dimension,
        metric=spec.metric,
        seq=manifest.sealed_seq,
        last_write_ms=manifest.last_write_ms,
    )
    return view, segments


def write_dead_rows(directory: Path, name: str, rows: npt.NDArray[np.uint32]) -> str:
    """Write a list of dead rows durably. Returns its file name, which carries its checksum."""
    data = rows.astype("<u4").tobytes()
    file = f"{name}-{files.checksum(data)}.u32"
    path = directory / shard.DEAD / file
    if not path.exists():
        files.write_durable(path, data)
    return file


def read_dead_rows(directory: Path, file: str) -> npt.NDArray[np.uint32]:
    """What `write_dead_rows` wrote.

    Raises:
        CorruptData: It is missing or damaged.
    """
    try:
        data = (directory / shard.DEAD / file).read_bytes()
    except FileNotFoundError as error:
        raise CorruptData("A list of deleted rows is missing.") from error
    if files.checksum(data) != file.rpartition("-")[2].removesuffix(".u32"):
        raise CorruptData("A list of deleted rows does not match its checksum.")
    return np.frombuffer(data, dtype="<u4")


class ShardReader:
    """Follows a shard's owner through the mapped counter. For one thread at a time.

    Reads see every write whose acknowledgement was sent before the read began. So do those of the `view` when
    the reader is current, or just refreshed; they are for any number of threads.
    """

    def __init__(self, directory: Path) -> None:
        """Open a shard that an owner has opened since this machine was started.

        Raises:
            ShardUnavailable: No owner has opened it yet.
        """
        self._directory = directory
        self.spec = shard.read_spec(directory)
        self._log = WriteLog(directory / shard.LOG)
        try:
            self._counter = GenerationCounter(directory / shard.COUNTER, writable=False)
        except FileNotFoundError:
            raise ShardUnavailable("The shard has not been opened by its owner yet.") from None
        self._seen = _NOTHING_SEEN
        self._segments: dict[str, Segment] = {}
        self._view = ShardView(self.spec.dimension, self.spec.metric)
        self.refresh()

    @property
    def view(self) -> ShardView:
        """The shard as of the last refresh."""
        return self._view

    @property
    def is_current(self) -> bool:
        """Whether nothing was written or published since the last refresh."""
        return self._counter.read() == self._seen

    @property
    def is_near(self) -> bool:
        """Whether the owner has published no other segments since the last refresh."""
        return self._counter.read()[0] == self._seen[0]

    @property
    def lag(self) -> int:
        """How many acknowledged writes the last refresh has not seen."""
        return max(0, self._counter.read()[1] - self._view.head.seq)

    @property
    def is_gone(self) -> bool:
        """Whether the shard was removed, or another is in its place: nothing new would be seen."""
        return self._counter.is_replaced or not shard.shard_exists(self._directory)

    def search(self, query: SearchQuery) -> SearchResult:
        """As `ShardView.search`, over everything acknowledged."""
        self.refresh()
        return self._view.search(query)

    def search_hybrid(self, query: HybridQuery) -> list[Candidate]:
        """As `ShardView.search_hybrid`, over everything acknowledged."""
        self.refresh()
        return self._view.search_hybrid(query)

    def get(self, point_id: str) -> Point | None:
        """As `ShardView.get`, over everything acknowledged."""
        self.refresh()
        return self._view.get(point_id)

    def count(self) -> int:
        """Live points."""
        self.refresh()
        return self._view.head.points

    def close(self) -> None:
        """Unmap the counter. Mapped segments go when the last head or hit that refers to them goes."""
        self._counter.close()

    def refresh(self) -> None:
        """Take in what the owner has acknowledged and published.

        Raises:
            ShardUnavailable: Its files cannot be read.
        """
        for _ in range(_MAX_ATTEMPTS):
            generation, seq = self._counter.read()
            if (generation, seq) == self._seen:
                return
            try:
                if generation != self._seen[0]:
                    self._reload()
                while self._view.head.seq < seq:
                    self._view.apply(self._log.read_one(self._view.head.seq + 1))
            except (FileNotFoundError, CorruptData):
                # The owner dropped files between our look at the counter and at them: look again.
                self._seen = _NOTHING_SEEN
                continue
            except BaseException:
                # A batch may be in the view in part: the next refresh begins with a new view.
                self._seen = _NOTHING_SEEN
                raise
            self._seen = (generation, seq)
            return
        raise ShardUnavailable("The shard's files cannot be read; its owner may be rebuilding them.")

    def _reload(self) -> None:
        newest = manifest_generations(self._directory)
        manifest = read_manifest(self._directory, newest[0]) if newest else Manifest()
        self._view, self._segments = open_view(
            self._directory, self.spec, manifest, opened=self._segments, verify=False
        )
