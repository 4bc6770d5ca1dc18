"""Between the Web Content API's wire models and core values. Pure functions."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from starlette.responses import Response

from serve.answer import json_response
from serve.service.accounts import TokenPair
from serve.service.project_chunks import ChunkHit, UrlChunks
from serve.service.server_status import Embedding, SystemStatus
from serve.surfaces.webcontent import wire
from storage.catalog import SharedProject, Submission
from vectoray.core.accounts import User
from vectoray.core.model import Point
from vectoray.core.projects import Project, ProjectShare, ProjectUrl, UrlStatus


def access_token(pair: TokenPair) -> wire.AccessToken:
    """The token to call with; this API has no other."""
    return wire.AccessToken(access_token=pair.access)


def user_info(user: User) -> wire.UserInfo:
    """A user."""
    return wire.UserInfo(user_id=user.id, email=user.email, created_at=user.created_at)


def project_info(project: Project) -> wire.ProjectInfo:
    """A project."""
    return wire.ProjectInfo(
        project_id=project.id,
        user_id=project.user,
        project_name=project.name,
        created_at=project.created_at,
    )


def url_info(url: ProjectUrl) -> dict[str, object]:
    """A `wire.UrlInfo`, as JSON values: a list may have very many."""
    return {
        "url_id": url.id,
        "project_id": url.project,
        "original_url": url.original_url,
        "status": url.status.value,
        "failure_reason": url.failure_reason,
        "submitted_at": wire.time_text(url.submitted_at),
        "last_updated_at": wire.time_text(url.last_updated_at),
    }


def submitted_url(submission: Submission) -> Response:
    """What became of one URL: it was accepted, or the project has it."""
    if submission.submitted:
        return json_response(url_info(submission.submitted[0]), status=202)
    existing = url_info(submission.duplicates[0])
    return json_response(
        {"message": "URL already exists in this project", "existing_url": existing}, status=409
    )


def submitted_urls(submission: Submission) -> dict[str, object]:
    """A `wire.SubmittedUrls`, as JSON values."""
    return {
        "submitted_urls": [url_info(url) for url in submission.submitted],
        "duplicate_urls": [url_info(url) for url in submission.duplicates],
    }


def url_status(name: wire.StatusName | None) -> UrlStatus | None:
    """A status, if one is named."""
    return None if name is None else UrlStatus(name)


def chunk_list(found: UrlChunks, *, include_vectors: bool) -> list[dict[str, object]]:
    """A list of `wire.ChunkInfo`, the vectors still as arrays."""
    return [_chunk(found.url, point, include_vectors=include_vectors) for point in found.chunks]


def share_info(share: ProjectShare) -> wire.ShareInfo:
    """A share."""
    return wire.ShareInfo(
        name=f"projects/{share.project}/shares/{share.id}",
        project_id=share.project,
        shared_with_user_id=share.user,
        share_token=share.token,
        created_at=share.created_at,
    )


def opened_project(project: Project) -> wire.OpenedProject:
    """A project, as who has its share token sees it."""
    return wire.OpenedProject(
        name=f"projects/{project.id}", project_name=project.name, created_at=project.created_at
    )


def shared_projects(found: Sequence[SharedProject]) -> wire.SharedProjectList:
    """Projects that others shared with the caller."""
    return wire.SharedProjectList(
        shared_projects=[
            wire.SharedProjectInfo(
                name=f"projects/{one.project.id}",
                project_name=one.project.name,
                owner_email=one.owner_email,
                shared_at=one.shared_at,
            )
            for one in found
        ]
    )


def query_results(hits: Sequence[ChunkHit]) -> wire.QueryResults:
    """Chunks that answer a question."""
    return wire.QueryResults(
        results=[
            wire.QueryResult(
                content=one.hit.text or "",
                url=one.url.original_url,
                chunk_id=one.hit.id,
                project_id=one.url.project,
                similarity_score=float(one.hit.score),
            )
            for one in hits
        ]
    )


def model_info(embedding: Embedding) -> wire.ModelInfo:
    """What texts are embedded with."""
    model = embedding.model
    return wire.ModelInfo(
        model_name=model.name,
        embedding_size=model.dimension,
        max_sequence_length=model.max_tokens,
        chunking_strategy="text_splitting",
        chunk_size=embedding.chunking.size_chars,
        chunk_overlap=embedding.chunking.overlap_chars,
        configuration={"normalize_embeddings": model.unit_length},
        version=model.version,
    )


def system_status(status: SystemStatus) -> wire.SystemStatus:
    """How the server is."""
    return wire.SystemStatus(
        status="healthy" if status.embeds and status.ingests else "degraded",
        processing_queue=wire.ProcessingQueue(
            pending_urls=status.waiting[UrlStatus.PENDING],
            crawling_urls=status.waiting[UrlStatus.CRAWLING],
            encoding_urls=status.waiting[UrlStatus.ENCODING],
        ),
        system_load=wire.SystemLoad(
            cpu_usage=round(status.load.cpu),
            memory_usage=round(status.load.memory),
            disk_usage=round(status.load.disk),
        ),
        embedding_model_status="operational" if status.embeds else "unavailable",
    )


def _chunk(url: ProjectUrl, point: Point, *, include_vectors: bool) -> dict[str, object]:
    chunk: dict[str, object] = {
        "chunk_id": point.id,
        "url_id": url.id,
        "project_id": url.project,
        "content": point.text or "",
        "chunk_index": point.chunk_index,
        # The id is as old as the first chunk in this place of the page; this content is not.
        "created_at": wire.time_text(datetime.fromtimestamp(point.updated_ms / 1000, UTC)),
    }
    if include_vectors:
        chunk["embedding"] = np.ascontiguousarray(point.vector)
    return chunk
