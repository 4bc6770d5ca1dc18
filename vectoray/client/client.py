"""The synchronous REST client: sends `calls` over HTTP and reads the answers with `responses`."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import numpy.typing as npt

from vectoray import __version__
from vectoray.client import calls, ingestion_calls
from vectoray.client.calls import Call
from vectoray.client.ingestion_values import ExplainedDocument, JobInfo, JobPage
from vectoray.client.responses import read_answer
from vectoray.client.values import (
    CollectionInfo,
    EmbeddingModel,
    QueryAnswer,
    ServerHealth,
    StoredVector,
)
from vectoray.core.errors import CollectionNotFound, DeadlineExceeded, InvalidRequest, Unavailable
from vectoray.core.model import Metric

T = TypeVar("T")

_PAGE_ITEMS = 100

# A proxy from the environment is for other machines.
_NO_PROXY: Mapping[str, None] = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}


class Client:
    """A connection to one server; close it, or use it in a ``with`` statement.

    Every method may raise `Unavailable` when the server cannot be reached, `DeadlineExceeded` when it does
    not answer in time, `Unauthenticated` or `PermissionDenied`, and what else it lists.

    Args:
        url: Where the server listens, such as ``http://127.0.0.1:8000``.
        api_key: Sent with every request as ``X-API-Key``.
        timeout_s: How long one request may take in seconds.
        transport: Replaces the network, such as `httpx.MockTransport` in a test.

    Raises:
        InvalidRequest: ``url`` is not an http or https address.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = _checked_url(url)
        self._timeout_s = timeout_s
        headers = {"User-Agent": f"vectoray/{__version__}"}
        if api_key is not None:
            headers["X-API-Key"] = api_key
        self._http = httpx.Client(
            base_url=self._url, headers=headers, timeout=timeout_s, transport=transport, mounts=_NO_PROXY
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def health(self) -> ServerHealth:
        """How the server is."""
        return self._send(calls.health())

    def ping(self) -> None:
        """Return if the server answers, however well its shards are."""
        self._send(calls.ping())

    def models(self) -> list[EmbeddingModel]:
        """The embedding models of the server, the default one first."""
        return self._send(calls.list_models())

    def collections(self) -> list[CollectionInfo]:
        """Every collection the caller can see."""
        found: list[CollectionInfo] = []
        while True:
            page = self._send(calls.list_collections(skip=len(found), limit=_PAGE_ITEMS))
            found.extend(page.items)
            if not page.items or len(found) >= page.total:
                return found

    def collection(self, name: str) -> CollectionInfo:
        """The collection of that name.

        Raises:
            CollectionNotFound: The caller can see none.
        """
        for collection in self._send(calls.find_collection(name)).items:
            return collection
        raise CollectionNotFound.of(name)

    def create_collection(self, name: str, dimension: int, metric: Metric = Metric.COSINE) -> None:
        """Create a collection for vectors of ``dimension`` numbers.

        Raises:
            CollectionExists: The name is taken.
            InvalidRequest: The name or the dimension is not allowed.
        """
        self._send(calls.create_collection(name, dimension=dimension, metric=metric))

    def delete_collection(self, name: str) -> None:
        """Delete a collection with all its vectors.

        Raises:
            CollectionNotFound: There is none of that name.
        """
        self._send(calls.delete_collection(name))

    def insert(
        self,
        name: str,
        ids: Sequence[str],
        vectors: npt.ArrayLike,
        payloads: Sequence[Mapping[str, Any]] | None = None,
    ) -> int:
        """Insert vectors in one request, replacing those whose id exists; returns how many were written.

        Args:
            name: The collection.
            ids: n non-empty strings of at most 512 bytes.
            vectors: Shape (n, dimension), sent as float32.
            payloads: n JSON objects, or None for none.

        Raises:
            CollectionNotFound: There is no such collection.
            DimensionMismatch: The vectors have another dimension than the collection.
            InvalidRequest: An id, a number or a payload is not allowed.
        """
        return self._send(calls.insert(name, ids, vectors, payloads))

    def get(self, name: str, point_id: str) -> StoredVector:
        """The vector with that id.

        Raises:
            CollectionNotFound, PointNotFound: It is not there.
        """
        return self._send(calls.get(name, point_id))

    def delete(self, name: str, point_id: str) -> None:
        """Delete the vector with that id.

        Raises:
            CollectionNotFound, PointNotFound: It is not there.
        """
        self._send(calls.delete(name, point_id))

    def query(
        self,
        collection: str | CollectionInfo,
        *,
        text: str | None = None,
        vector: npt.ArrayLike | None = None,
        top_k: int = 10,
    ) -> QueryAnswer:
        """The vectors closest to a text or to a vector, best first.

        Args:
            collection: Its name; or what `collection` returned, which saves looking the name up.
            text: Embedded by the server with the collection's model.
            vector: Shape (dimension,), sent as float32.
            top_k: How many hits at most.

        Raises:
            CollectionNotFound: There is no such collection.
            DimensionMismatch: The vector has another dimension than the collection.
            InvalidRequest: Not exactly one of ``text`` and ``vector`` is given, or it is not allowed.
        """
        target = self.collection(collection) if isinstance(collection, str) else collection
        return self._send(calls.query(target.id, text=text, vector=vector, top_k=top_k))

    def jobs(
        self,
        *,
        collection: str | CollectionInfo | None = None,
        status: str | None = None,
        limit: int = 50,
    ) -> JobPage:
        """The newest ingestion jobs of the caller's collections.

        Args:
            collection: Only jobs of this one: its name, or what `collection` returned.
            status: Only jobs of this status, see `JobInfo.status`.
            limit: How many at most, 1 to 1000.

        Raises:
            CollectionNotFound: There is no such collection.
            InvalidRequest: No job has such a status.
        """
        target = self.collection(collection) if isinstance(collection, str) else collection
        collection_id = None if target is None else target.id
        return self._send(ingestion_calls.list_jobs(collection_id=collection_id, status=status, limit=limit))

    def job(self, job_id: str) -> JobInfo:
        """One ingestion job.

        Raises:
            JobNotFound: There is none that the caller may see.
        """
        return self._send(ingestion_calls.get_job(job_id))

    def cancel_job(self, job_id: str) -> None:
        """Cancel a job that is not finished. Needs a credential.

        Raises:
            JobNotFound: There is none that the caller may see.
            Conflict: It is finished.
        """
        self._send(ingestion_calls.cancel_job(job_id))

    def retry_job(self, job_id: str) -> JobInfo:
        """Let a job that failed, or was cancelled, run anew. Needs a credential.

        Raises:
            JobNotFound: There is none that the caller may see.
            Conflict: It is in another state.
        """
        return self._send(ingestion_calls.retry_job(job_id))

    def explain(self, collection_id: str, source: str, *, uri: str | None = None) -> list[ExplainedDocument]:
        """Why a document is found in a collection, or is not; the newest of that name first.

        Args:
            collection_id: UUID.
            source: The id of a job, the name of an uploaded file, a file's path, or a URL.
            uri: The document's URI, if that is known besides.

        Raises:
            CollectionNotFound: There is no such collection.
        """
        return self._send(ingestion_calls.explain(collection_id, source, uri))

    def _send(self, call: Call[T]) -> T:
        try:
            response = self._http.request(
                call.method,
                call.path,
                params=call.params,
                content=call.body,
                headers={} if call.body is None else {"Content-Type": "application/json"},
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unavailable(
                f"No server answers at {self._url}. Start one with 'vectoray up', "
                "or give the address of one that runs."
            ) from error
        except httpx.TimeoutException as error:
            raise DeadlineExceeded(f"{self._url} did not answer within {self._timeout_s:g} s.") from error
        except httpx.TransportError as error:
            raise Unavailable(f"The connection to {self._url} broke before the answer came.") from error
        return read_answer(call, status=response.status_code, body=response.content)


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise InvalidRequest(f"'{url}' is not an address such as http://127.0.0.1:8000.")
    return url.rstrip("/")
