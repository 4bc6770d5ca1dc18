"""Everything that a worker works with, in this process, and a model and a site that can be held up."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from cluster.local_engine import LocalEngine
from pipelines.embed import ChunkEmbedder
from pipelines.fetch import FetchError, FetchFailure, NotModified, Page, RobotsVerdict, Validators
from pipelines.jobs.lane import Lane
from pipelines.jobs.patience import Patience
from pipelines.jobs.reading import ThreadReader
from pipelines.jobs.settings import JobSettings
from pipelines.jobs.uploads import UploadLane
from pipelines.jobs.urls import UrlLane
from pipelines.jobs.work_threads import WorkThreads
from pipelines.jobs.worker import IngestionWorker
from pipelines.parse import MediaType, ParsedDocument, parse
from storage.blobs import Blobs
from storage.catalog import (
    Accounts,
    Catalog,
    Documents,
    JobRuns,
    Jobs,
    ProjectUrls,
    Uploads,
    UrlRuns,
    Workers,
)
from tests.unit.storage.catalog.test_accounts import user
from tests.unit.storage.catalog.test_catalog import NOW, collection
from vectoray.core.ingestion import Chunking, ChunkingStrategy, Document, FileType, Job, Upload, job_point_id
from vectoray.core.model import Collection, FloatMatrix, Metric, Point
from vectoray.core.projects import Project, ProjectUrl, UrlStatus
from vectoray.embedding import ModelRegistry

MODEL = "hashing-384"
MODELS = ModelRegistry()
SETTINGS = JobSettings(batch_chunks=2, poll_s=0.02, lease_s=15, retry_s=0.3)
CHUNKING = Chunking(ChunkingStrategy.SENTENCE, 100, 0)


class GatedEmbedder:
    """A real model that waits, once so many batches are embedded, until it is let go on.

    Attributes:
        texts: What was embedded, in order.
        waiting: Set while it waits.
    """

    def __init__(self, folder: Path) -> None:
        self._model = ChunkEmbedder(MODELS.load(MODEL, cache_dir=folder))
        self.texts: list[str] = []
        self.batches = 0
        self.stop_after: int | None = None
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()

    async def embed(self, model: str, texts: Sequence[str]) -> FloatMatrix:
        assert model == MODEL
        if self.stop_after is not None and self.batches >= self.stop_after:
            self.waiting.set()
            await self.go_on.wait()
        self.batches += 1
        self.texts += texts
        return self._model.embed(texts)


class Site:
    """A site of pages, whose versions are numbered.

    Attributes:
        asked: What was known of each page that was fetched.
    """

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, str]] = {}
        self.asked: list[Validators | None] = []
        self.gate: asyncio.Event | None = None
        self.charset: str | None = None
        self.fetching = asyncio.Event()

    async def fetch(self, url: str, known: Validators | None = None) -> Page | NotModified:
        self.asked.append(known)
        self.fetching.set()
        if self.gate is not None:
            await self.gate.wait()
        if url not in self.pages:
            raise FetchError.of(FetchFailure.NOT_FOUND, "The page was not found (404).")
        version, text = self.pages[url]
        tag = f'"{version}"'
        if known is not None and known.etag == tag:
            return NotModified(url, url, known, NOW, RobotsVerdict.NO_RULES)
        return Page(
            asked=url,
            url=url,
            status=200,
            media_type="text/plain",
            charset=self.charset,
            body=text.encode(self.charset or "utf-8"),
            validators=Validators(url, tag, None),
            fetched_at=NOW,
            robots=RobotsVerdict.NO_RULES,
        )


@dataclass
class World:
    """What tests ask and change.

    Attributes:
        clock: Seconds since the beginning, by the clock of all workers.
    """

    catalog: Catalog
    engine: LocalEngine
    blobs: Blobs
    embedder: GatedEmbedder
    site: Site
    threads: WorkThreads
    settings: JobSettings = SETTINGS
    clock: float = 0.0
    docs: Collection = field(init=False)

    def __post_init__(self) -> None:
        database = self.catalog.database
        self.jobs, self.uploads, self.documents = Jobs(database), Uploads(database), Documents(database)
        self.urls = ProjectUrls(database)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.clock)

    def upload_lane(self) -> UploadLane:
        return UploadLane(
            JobRuns(self.catalog.database),
            self.catalog,
            self.engine,
            self.blobs,
            ThreadReader(self.threads, _parsed, MODELS.token_counter),
            self.embedder,
            self.settings,
            Patience(self.settings.retry_s),
            MODELS.models,
            max_file_bytes=100_000,
            now=self.now,
        )

    def url_lane(self) -> UrlLane:
        return UrlLane(
            UrlRuns(self.catalog.database),
            self.engine,
            self.site,
            ThreadReader(self.threads, _parsed, MODELS.token_counter),
            self.embedder,
            self.settings,
            Patience(self.settings.retry_s),
            Chunking(),
            MODELS.models,
            now=self.now,
        )

    def worker(self) -> IngestionWorker:
        """One that is not started."""
        lanes: list[Lane[Any]] = [self.upload_lane(), self.url_lane()]
        return IngestionWorker(lanes, Workers(self.catalog.database), self.settings, now=self.now)

    async def make_collection(self, **changes: object) -> Collection:
        made = replace(
            collection(f"c{uuid4()}"),
            **{
                "dimension": 384,
                "metric": Metric.COSINE,
                "embedding_model": MODEL,
                "hosts": (0, 0),
                **changes,
            },  # type: ignore[arg-type]
        )
        await self.catalog.begin_create(made)
        await self.engine.create(made)
        await self.catalog.finish_create(made.id)
        return made

    async def add_job(
        self, content: str | bytes, *, name: str = "notes.txt", into: Collection | None = None
    ) -> Job:
        """A pending job whose file is there."""
        data = content.encode() if isinstance(content, str) else content
        upload = Upload(
            id=str(uuid4()),
            collection_id=(into or self.docs).id,
            file_name=name,
            file_type=FileType(name.rpartition(".")[2]),
            size_bytes=len(data),
            sha256="0" * 64,
            created_by="ann",
            created_at=self.now(),
        )
        draft = self.blobs.draft(upload.id)
        draft.write(data)
        draft.finish()
        assert await self.uploads.add(upload)
        job = Job(
            id=str(uuid4()),
            collection_id=upload.collection_id,
            upload=upload,
            chunking=CHUNKING,
            created_by="ann",
            created_at=self.now(),
            updated_at=self.now(),
        )
        assert await self.jobs.add(job)
        return job

    async def job(self, job: Job) -> Job:
        found = await self.jobs.find(job.id)
        assert found is not None
        return found

    async def points(self, job: Job, count: int = 40) -> list[Point]:
        """Points of the job that are stored, whatever it says of them."""
        ids = [job_point_id(job.id, index) for index in range(count)]
        found = await self.engine.get(self.docs, ids)
        return [point for point in found if point is not None]

    async def document(self, owner_id: str) -> Document:
        [document] = await self.documents.of_owner(owner_id)
        return document

    async def make_project(self) -> tuple[Project, Collection]:
        owner = user(f"{uuid4()}@example.com")
        await Accounts(self.catalog.database).add_user(owner, "hash")
        project = Project(str(uuid4()), owner.id, "Research", self.now())
        made = replace(
            collection(f"projects/{project.id}", owner.id),
            dimension=384,
            metric=Metric.COSINE,
            embedding_model=MODEL,
            hosts=(0,),
            project_id=project.id,
        )
        await self.catalog.begin_create(made, project=project)
        await self.engine.create(made)
        await self.catalog.finish_create(made.id)
        return project, made

    async def add_url(self, project: Project, url: str) -> ProjectUrl:
        at = self.now()
        new = ProjectUrl(str(uuid4()), project.id, url, url, UrlStatus.PENDING, None, 1, at, at)
        found = await self.urls.submit(project.id, [new], most=100)
        assert found is not None
        return found.submitted[0]

    async def url(self, url: ProjectUrl) -> ProjectUrl:
        return (await self.urls.find([url.id]))[url.id]


def _parsed(data: bytes, *, media_type: MediaType, cancel: threading.Event) -> ParsedDocument:
    return parse(data, media_type=media_type)


def sentences(count: int, word: str = "fox") -> str:
    """A text of which each sentence is one chunk."""
    return " ".join(
        f"Sentence number {n:03} is about the {word} that jumps over all {n:03} lazy dogs."
        for n in range(count)
    )


async def idle(worker: IngestionWorker) -> None:
    """Let a worker that is not started take all that is due, and wait until it has nothing any more."""
    async with asyncio.timeout(20):
        while True:
            await worker.look()
            if not worker.running:
                return
            while worker.running:  # noqa: ASYNC110  (of no event that tells)
                await asyncio.sleep(0.005)
