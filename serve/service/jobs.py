"""Makes, shows, cancels, restarts and follows ingestion jobs. Running them is for the pipeline.

A job is for everybody who may see its collection, and for nobody else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

from cluster.engine import Engine
from serve.auth import Principal
from serve.job_watch import JobWatch
from serve.service.ingestors import NONE_RUNS, Ingestors
from serve.service.open_streams import HeldStream, OpenStreams
from serve.service.ownership import Address, ById, find_collection, visible_owners
from serve.service.rights import require
from storage.catalog import Catalog, Jobs, Uploads
from vectoray.core.accounts import Scope
from vectoray.core.errors import CollectionNotFound, Conflict, InvalidRequest, JobNotFound
from vectoray.core.ingestion import (
    UNFINISHED,
    Chunking,
    ChunkingOverrides,
    Job,
    JobStatus,
    Upload,
    job_point_id,
)
from vectoray.core.model import Collection, Point
from vectoray.embedding import ModelInfo
from vectoray.embedding.model import model_of

_RETRIED = frozenset((JobStatus.FAILED, JobStatus.CANCELLED))
_REPEATED = frozenset(JobStatus) - UNFINISHED


@dataclass(frozen=True, slots=True)
class JobPoints:
    """Some of the points that a job wrote.

    Attributes:
        points: In the order of their chunks; those that failed, or were deleted since, are missing.
        total: How many chunks there are to page through.
    """

    job: Job
    points: list[Point]
    total: int


@dataclass(frozen=True, slots=True)
class JobService:
    """Ingestion jobs. Any method may raise `PermissionDenied`: the caller's key does not have the scope.

    Attributes:
        models: Those that this server has: a job for a collection of another one cannot but fail.
        wake: Tells whoever runs jobs that there is one to run, or to stop; they look by themselves soon.
    """

    catalog: Catalog
    engine: Engine
    uploads: Uploads
    jobs: Jobs
    watch: JobWatch
    streams: OpenStreams
    models: Sequence[ModelInfo]
    ingestors: Ingestors
    wake: Callable[[], None]

    async def create(self, caller: Principal, address: Address, upload_id: str, chunking: Chunking) -> Job:
        """Make a job that ingests an upload of the caller's into the collection that it was sent for.

        Raises:
            CollectionNotFound: There is no such collection that the caller may see.
            InvalidRequest: There is no such upload, or it is somebody else's, or for another collection;
                which, is not told. Or the collection has no embedding model that this server has.
            DimensionMismatch: The model's vectors do not fit into the collection.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        model_of(collection, self.models)
        upload = await self.uploads.find(upload_id)
        if upload is None or (upload.created_by, upload.collection_id) != (caller.user, collection.id):
            raise _no_upload()
        job = _new_job(upload, caller, chunking)
        if not await self.jobs.add(job):
            raise _no_upload()
        self.wake()
        return job

    async def get(self, caller: Principal, job_id: str) -> Job:
        """One job. If it waits for nobody, its `Job.error` says so.

        Raises:
            JobNotFound: There is none that the caller may see.
        """
        job, _ = await self._find(caller, job_id, Scope.READ)
        [told] = await self._attended([job])
        return told

    async def page(
        self,
        caller: Principal,
        *,
        collection: Address | None = None,
        status: JobStatus | None = None,
        skip: int = 0,
        limit: int,
    ) -> tuple[list[Job], int]:
        """The jobs that the caller may see, newest first, and how many there are without the limit.

        Args:
            caller: Who asks.
            collection: Only jobs of this one.
            status: Only jobs of this status.
            skip: How many to leave out at the beginning.
            limit: How many at most.

        Raises:
            CollectionNotFound: There is no such collection that the caller may see.
        """
        require(caller, Scope.READ)
        found = (
            None
            if collection is None
            else await find_collection(self.catalog, caller, collection, Scope.READ)
        )
        jobs, total = await self.jobs.page(
            visible_owners(caller),
            among=caller.collections,
            collection_id=None if found is None else found.id,
            status=status,
            skip=skip,
            limit=limit,
        )
        return await self._attended(jobs), total

    async def cancel(self, caller: Principal, job_id: str) -> None:
        """Cancel a job that is not finished. Whoever runs it stops, and removes what this run has stored.

        Raises:
            JobNotFound: There is none that the caller may see.
            Conflict: It is finished.
        """
        job, _ = await self._find(caller, job_id, Scope.WRITE)
        if not await self.jobs.cancel(job.id, datetime.now(UTC)):
            raise await self._in_another_state(caller, job_id, "cannot be cancelled")
        self.wake()

    async def retry(self, caller: Principal, job_id: str) -> Job:
        """Let a job that failed, or was cancelled, run anew.

        Raises:
            JobNotFound: There is none that the caller may see.
            InvalidRequest, DimensionMismatch: The collection has no model that fits, as with `create`.
            Conflict: It is in another state.
        """
        return await self._restart(caller, job_id, _RETRIED, ChunkingOverrides(), "cannot be retried")

    async def reingest(self, caller: Principal, job_id: str, overrides: ChunkingOverrides) -> Job:
        """Let a finished job run anew, and replace what it wrote.

        Raises:
            JobNotFound: There is none that the caller may see.
            InvalidRequest: The overrides do not go with the rest of what the job was told; or, as
                `DimensionMismatch`, the collection has no model that fits.
            Conflict: It is not finished.
        """
        return await self._restart(caller, job_id, _REPEATED, overrides, "cannot be ingested again yet")

    async def follow(self, caller: Principal, job_id: str) -> HeldStream[Job]:
        """A job as it is, and as it changes, up to its first terminal status; see `JobWatch.follow`.

        Raises:
            JobNotFound: There is none that the caller may see.
            RateLimited: The caller has as many streams open as they may.
        """
        job, _ = await self._find(caller, job_id, Scope.READ)
        return self.streams.hold(caller, self.watch.follow(job))

    async def points(self, caller: Principal, job_id: str, *, skip: int, limit: int) -> JobPoints:
        """The points of some of a job's chunks.

        Args:
            caller: Who asks.
            job_id: Which job.
            skip: How many chunks to leave out at the beginning.
            limit: Of how many chunks at most.

        Raises:
            JobNotFound: There is none that the caller may see.
        """
        job, collection = await self._find(caller, job_id, Scope.READ)
        indexes = range(skip, min(skip + limit, job.extent))
        if not indexes:
            return JobPoints(job, [], job.extent)
        found = await self.engine.get(collection, [job_point_id(job.id, index) for index in indexes])
        return JobPoints(job, [point for point in found if point is not None], job.extent)

    async def _attended(self, jobs: list[Job]) -> list[Job]:
        if not any(job.status is JobStatus.PENDING for job in jobs) or await self.ingestors.work():
            return jobs
        return [replace(job, error=NONE_RUNS) if job.status is JobStatus.PENDING else job for job in jobs]

    async def _find(self, caller: Principal, job_id: str, scope: Scope) -> tuple[Job, Collection]:
        require(caller, scope)
        job = await self.jobs.find(_canonical(job_id))
        if job is None:
            raise JobNotFound.of(job_id)
        try:
            collection = await find_collection(self.catalog, caller, ById(job.collection_id), scope)
        except CollectionNotFound:
            raise JobNotFound.of(job_id) from None
        return job, collection

    async def _restart(
        self,
        caller: Principal,
        job_id: str,
        starts: frozenset[JobStatus],
        overrides: ChunkingOverrides,
        refusal: str,
    ) -> Job:
        job, collection = await self._find(caller, job_id, Scope.WRITE)
        model_of(collection, self.models)
        chunking = overrides.of(job.chunking)
        restarted = await self.jobs.restart(job.id, starts, chunking, datetime.now(UTC))
        if restarted is None:
            raise await self._in_another_state(caller, job_id, refusal)
        self.wake()
        return restarted

    async def _in_another_state(self, caller: Principal, job_id: str, refusal: str) -> Conflict:
        now, _ = await self._find(caller, job_id, Scope.READ)
        return Conflict(f"The job is {now.status.value}; it {refusal}.", {"status": now.status.value})


def _new_job(upload: Upload, caller: Principal, chunking: Chunking) -> Job:
    now = datetime.now(UTC)
    return Job(
        id=str(uuid4()),
        collection_id=upload.collection_id,
        upload=upload,
        chunking=chunking,
        created_by=caller.user,
        created_at=now,
        updated_at=now,
    )


def _no_upload() -> InvalidRequest:
    return InvalidRequest(
        "'file_path' names no upload of yours for this collection; send the file to /api/ingestion/upload, "
        "and take the 'file_path' of its answer.",
        {"at": "file_path"},
    )


def _canonical(told: str) -> str:
    try:
        return str(UUID(told))
    except ValueError:
        raise JobNotFound.of(told) from None
