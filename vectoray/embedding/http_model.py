"""A model behind an endpoint that speaks OpenAI's protocol for embeddings (``POST /v1/embeddings``).

What the endpoint says is never told or logged: it may repeat the text, or the key.
"""

import hashlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import httpx
import numpy as np
import structlog

from vectoray.core.errors import InternalError, InvalidRequest, Overloaded, Unavailable, VectorayError
from vectoray.core.model import FloatMatrix
from vectoray.embedding.http_answer import Unusable, read_vectors
from vectoray.embedding.model import ModelInfo, RunOptions, check_texts
from vectoray.embedding.retries import Attempts, retry_after_s
from vectoray.embedding.settings import HttpModelSettings

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_REFUSED_TEXT = frozenset({400, 413, 422})
# Of JSON: a number has at most about 25 characters, and each text some words around it.
_BYTES_PER_NUMBER = 32
_BYTES_PER_TEXT = 4096

_log = structlog.get_logger(__name__)


class _TryAgain(Exception):
    """A failure that may pass."""

    def __init__(self, reason: str, *, after_s: float | None = None, busy: bool = False) -> None:
        super().__init__(reason)
        self.after_s = after_s
        self.busy = busy


class HttpModel:
    """A model that somebody else runs. Its vectors are scaled to unit length.

    Calls from several threads share connections; each call has its own requests under way.
    """

    def __init__(self, info: ModelInfo, settings: HttpModelSettings, *, give_up_s: float) -> None:
        """Use an endpoint; nothing is sent yet.

        Args:
            info: What the model is.
            settings: Where it is, and how to speak to it.
            give_up_s: After which a request that failed is not tried again.
        """
        self.name = info.name
        self.dimension = info.dimension
        self.max_tokens = info.max_tokens
        asked = (str(settings.url), settings.model, settings.dimension, settings.max_chars)
        self.fingerprint = hashlib.sha256(repr(asked).encode()).hexdigest()
        self._settings = settings
        self._give_up_s = give_up_s
        # Compressed answers could grow without end; these are hardly compressible.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if settings.api_key is not None:
            headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        self._client = httpx.Client(
            headers=headers,
            timeout=settings.timeout_s,
            # Elsewhere the key is nobody's business.
            follow_redirects=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=settings.in_flight),
        )

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """The vectors of ``texts``, as `EmbeddingModel.embed`.

        Raises:
            InvalidRequest: A text is not valid Unicode, or the endpoint refuses one.
            Unavailable: The endpoint does not answer, or has too much to do.
            InternalError: The endpoint's answer cannot be used, or it refuses the key.
        """
        check_texts(texts)
        size = self._settings.batch_texts
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        if len(batches) <= 1:
            for batch in batches:
                vectors[:] = self._embed_batch(batch, threading.Event())
            return vectors
        stop = threading.Event()
        workers = min(self._settings.in_flight, len(batches))
        with ThreadPoolExecutor(workers, thread_name_prefix="embedding-http") as pool:
            begun = [pool.submit(self._embed_batch, batch, stop) for batch in batches]
            try:
                # What failed is told at once: a batch before it may be tried again for minutes.
                for ended in wait(begun, return_when=FIRST_EXCEPTION).done:
                    ended.result()
                for start, future in zip(range(0, len(texts), size), begun, strict=True):
                    vectors[start : start + size] = future.result()
            finally:
                # After an error, nobody wants the rest.
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
        return vectors

    def close(self) -> None:
        """End the connections. The model cannot be used any more."""
        self._client.close()

    def _embed_batch(self, texts: Sequence[str], stop: threading.Event) -> FloatMatrix:
        attempts = Attempts(give_up_s=self._give_up_s)
        while True:
            try:
                return self._try(texts)
            except _TryAgain as failure:
                wait_s = attempts.next_wait_s(failure.after_s)
                _log.info("embedding_request_failed", model=self.name, reason=str(failure), retry_in_s=wait_s)
                if wait_s is None or stop.wait(wait_s):
                    raise self._given_up(failure) from None

    def _try(self, texts: Sequence[str]) -> FloatMatrix:
        """One request.

        Raises:
            _TryAgain: It failed for a reason that may pass.
            VectorayError: It failed for another.
        """
        body = {
            "model": self._settings.model,
            "input": [text[: self._settings.max_chars] for text in texts],
            "encoding_format": self._settings.encoding,
            **({"dimensions": self.dimension} if self._settings.send_dimension else {}),
        }
        try:
            with self._client.stream("POST", str(self._settings.url), json=body) as response:
                if response.status_code != httpx.codes.OK:
                    raise self._refusal(response)
                content = self._content(response, len(texts))
            return read_vectors(content, texts=len(texts), dimension=self.dimension)
        except httpx.TransportError as error:
            # The name of its kind: its message may hold addresses.
            raise _TryAgain(type(error).__name__) from None
        except (httpx.HTTPError, Unusable) as error:
            reason = str(error) if isinstance(error, Unusable) else "it is no HTTP"
            raise InternalError(
                f"The endpoint of the embedding model '{self.name}' gave an answer that cannot be used: "
                f"{reason}."
            ) from None

    def _content(self, response: httpx.Response, texts: int) -> bytes:
        """The body, if it comes in time and is no longer than vectors can be."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise Unusable("it is compressed, which was not asked for")
        most_bytes = texts * (self.dimension * _BYTES_PER_NUMBER + _BYTES_PER_TEXT)
        # httpx bounds the wait for each piece; a drip of bytes would never end.
        late_s = time.monotonic() + self._settings.timeout_s
        content = bytearray()
        for piece in response.iter_raw():
            content += piece
            if len(content) > most_bytes:
                raise Unusable("it is longer than the vectors can be")
            if time.monotonic() > late_s:
                raise _TryAgain("SlowAnswer")
        return bytes(content)

    def _refusal(self, response: httpx.Response) -> Exception:
        status = response.status_code
        if status in _PASSING:
            after_s = retry_after_s(response.headers.get("Retry-After"))
            return _TryAgain(
                f"status {status}", after_s=after_s, busy=status == httpx.codes.TOO_MANY_REQUESTS
            )
        _log.warning("embedding_request_refused", model=self.name, status=status)
        if status in _REFUSED_TEXT:
            return InvalidRequest(
                f"The endpoint of the embedding model '{self.name}' refused a text (status {status}); it may "
                "be too long or empty."
            )
        if status in {401, 403}:
            return InternalError(
                f"The endpoint of the embedding model '{self.name}' refused this server's key; set another "
                "'api_key'."
            )
        return InternalError(
            f"The endpoint of the embedding model '{self.name}' answered with status {status}; look at its "
            "'url' and 'model'."
        )

    def _given_up(self, failure: _TryAgain) -> VectorayError:
        if failure.busy:
            return Overloaded(
                f"The endpoint of the embedding model '{self.name}' allows no more requests now."
            )
        return Unavailable(f"The endpoint of the embedding model '{self.name}' does not answer ({failure}).")


def token_counter(info: ModelInfo, settings: HttpModelSettings) -> None:
    """None: only the endpoint knows how it counts."""


def load(info: ModelInfo, cache_dir: Path, run: RunOptions, *, settings: HttpModelSettings) -> HttpModel:  # noqa: ARG001
    """Make the model; it needs no cache. For queries it gives up earlier: somebody waits."""
    give_up_s = min(settings.give_up_s, settings.timeout_s) if run.low_latency else settings.give_up_s
    return HttpModel(info, settings, give_up_s=give_up_s)
