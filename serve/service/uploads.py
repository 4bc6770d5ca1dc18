"""Takes files in: from whoever sends one, to where they lie until a job ingests them."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import uuid4

from serve.auth import Principal
from serve.service.completion import Completion
from serve.service.file_types import HEAD_BYTES, check_content, type_of
from serve.service.limits import Limits
from serve.service.ownership import ById, find_collection
from serve.service.rights import require
from storage.blobs import BlobDraft, Blobs
from storage.catalog import Catalog, Uploads
from vectoray.core.accounts import Scope
from vectoray.core.errors import BodyTooLarge, CollectionNotFound, InvalidRequest
from vectoray.core.ingestion import FileType, Upload

_MAX_NAME = 255


class IncomingFile(Protocol):
    """A file while it arrives, and what is said beside it: to be asked for in this order, once each."""

    async def file_name(self) -> str:
        """What its sender calls it."""

    def blocks(self) -> AsyncIterator[bytes]:
        """Its bytes, as they arrive."""

    async def collection_id(self) -> str:
        """The collection that it is for, which may be said after it."""


@dataclass(frozen=True, slots=True)
class UploadService:
    """Files on their way in."""

    catalog: Catalog
    uploads: Uploads
    blobs: Blobs
    limits: Limits
    completion: Completion

    async def accept(self, caller: Principal, incoming: IncomingFile) -> Upload:
        """Store a file durably. Of one that is not accepted nothing is left.

        Raises:
            PermissionDenied: The caller's key is for reading.
            InvalidRequest: The file has no usable name, is of no type that is read, or of another than its
                name says.
            BodyTooLarge: It is above the limit.
            CollectionNotFound: There is no such collection that the caller may see.
        """
        require(caller, Scope.WRITE)
        file_name = _checked(await incoming.file_name())
        file_type = type_of(file_name)
        upload_id = str(uuid4())
        draft = await asyncio.to_thread(self.blobs.draft, upload_id)
        try:
            await self._fill(draft, incoming, file_type)
            address = ById(await incoming.collection_id())
            collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        except BaseException:
            await asyncio.to_thread(draft.discard)
            raise
        upload = Upload(
            id=upload_id,
            collection_id=collection.id,
            file_name=file_name,
            file_type=file_type,
            size_bytes=draft.size_bytes,
            sha256=draft.sha256,
            created_by=caller.user,
            created_at=datetime.now(UTC),
        )
        await self.completion.of(self._keep(draft, upload))
        return upload

    async def _fill(self, draft: BlobDraft, incoming: IncomingFile, file_type: FileType) -> None:
        head, is_checked = b"", False
        async for block in incoming.blocks():
            if draft.size_bytes + len(block) > self.limits.max_upload_bytes:
                raise _too_large(self.limits.max_upload_bytes)
            if not is_checked:
                head += block[: HEAD_BYTES - len(head)]
            if not is_checked and len(head) == HEAD_BYTES:
                check_content(file_type, head)
                is_checked = True
            await asyncio.to_thread(draft.write, block)
        if not is_checked:
            check_content(file_type, head)

    async def _keep(self, draft: BlobDraft, upload: Upload) -> None:
        """The file first: a row in the catalog means that it is there. One without a row is swept away."""
        await asyncio.to_thread(draft.finish)
        if not await self.uploads.add(upload):
            await asyncio.to_thread(draft.discard)
            raise CollectionNotFound.of(upload.collection_id)


def _checked(file_name: str) -> str:
    """The last part of a name: some clients send the whole path that the file has with them."""
    name = re.split(r"[/\\]", file_name)[-1]
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidRequest(
            f"The name of the file must have 1 to {_MAX_NAME} printable characters.", {"at": "file"}
        )
    return name


def _too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The file is larger than {limit_bytes} bytes, which is the most that may be uploaded.",
        {"limit_bytes": limit_bytes},
    )
