"""The form by which a file comes to the Vectory API, as the upload service asks for it."""

from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request

from serve.multipart_body import MULTIPART_TYPE, Part, read_parts
from vectoray.core.errors import InvalidRequest

_FILE = "file"
_COLLECTION = "collection_id"
_MAX_ID_BYTES = 64

UPLOAD_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART_TYPE: {
                "schema": {
                    "type": "object",
                    "required": [_FILE, _COLLECTION],
                    "properties": {
                        _FILE: {"type": "string", "format": "binary"},
                        _COLLECTION: {"type": "string", "format": "uuid"},
                    },
                }
            }
        },
    }
}
"""For ``openapi_extra`` of the handler that takes it."""


class UploadForm:
    """A `serve.service.uploads.IncomingFile`. Fields of other names are passed over."""

    def __init__(self, request: Request) -> None:
        self._items = read_parts(request.stream(), request.headers.get("content-type"))
        self._field = ""
        self._collection: bytes | None = None

    async def file_name(self) -> str:
        """Read up to the file's first byte."""
        async for item in self._items:
            if isinstance(item, Part) and item.name == _FILE and item.file_name is not None:
                return item.file_name
            self._take(item)
        raise InvalidRequest("The form has no file; send one as 'file'.", {"at": _FILE})

    async def blocks(self) -> AsyncIterator[bytes]:
        """Read the file."""
        async for item in self._items:
            if isinstance(item, Part):
                self._take(item)
                return
            yield item

    async def collection_id(self) -> str:
        """Read the rest."""
        async for item in self._items:
            self._take(item)
        if self._collection is None:
            raise InvalidRequest("The form has no 'collection_id'.", {"at": _COLLECTION})
        return self._collection.decode(errors="replace")

    def _take(self, item: Part | bytes) -> None:
        """What is not the file."""
        if isinstance(item, Part):
            if item.file_name is not None:
                raise InvalidRequest("The form must have one file, as 'file', and no other.", {"at": _FILE})
            if item.name == _COLLECTION:
                if self._collection is not None:
                    raise InvalidRequest("The form has 'collection_id' twice.", {"at": _COLLECTION})
                self._collection = b""
            self._field = item.name
        elif self._field == _COLLECTION and self._collection is not None:
            self._collection = (self._collection + item)[:_MAX_ID_BYTES]
