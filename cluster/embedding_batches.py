"""Embeds the texts of many callers together: what comes while one batch runs goes into the next.

There is no waiting for a batch to fill: an idle model starts at once, and the busier it is, the fuller its
batches get. Within a batch, callers take turns text by text, so that a caller with a thousand texts does not
keep one with a single text waiting. Knows no Ray.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import structlog

from vectoray.core.errors import DeadlineExceeded, InternalError, Overloaded, VectorayError
from vectoray.core.model import FloatMatrix
from vectoray.embedding.model import EmbeddingModel, check_texts

# Of English text, to tell how much work a text is without tokenizing it twice.
_CHARS_PER_TOKEN = 4

_log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Call:
    """One caller's texts.

    Attributes:
        vectors: Filled row by row.
        begun: Texts handed to the model.
        missing: Rows of ``vectors`` not filled yet.
    """

    texts: Sequence[str]
    vectors: FloatMatrix
    done: asyncio.Future[None]
    begun: int = 0
    missing: int = field(init=False)

    def __post_init__(self) -> None:
        self.missing = len(self.texts)


_Batch = dict[_Call, list[int]]


class EmbeddingBatches:
    """One model, run by one thread for everybody. To be used from one event loop."""

    def __init__(
        self,
        model: EmbeddingModel,
        *,
        batch_tokens: int,
        queue_length: int,
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Use a loaded model.

        Args:
            model: Called by one thread at a time.
            batch_tokens: How much goes into a batch, in estimated tokens; one text always does.
            queue_length: Texts that may wait. A single caller may bring more while none wait.
            observe: Told the number of texts of each batch.
        """
        self._observe = observe
        self._model = model
        self._batch_tokens = batch_tokens
        self._queue_length = queue_length
        self._calls: deque[_Call] = deque()
        self._waiting_texts = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="embedding")
        self._running: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many texts wait."""
        return self._waiting_texts

    async def embed(self, texts: Sequence[str], *, timeout_s: float) -> FloatMatrix:
        """The vectors of ``texts``, as `EmbeddingModel.embed`.

        Raises:
            InvalidRequest: A text is not valid Unicode.
            Overloaded: Too many texts wait.
            DeadlineExceeded: The vectors were not there within ``timeout_s``.
            InternalError: The model failed; the log says how.
        """
        check_texts(texts)
        vectors = np.empty((len(texts), self._model.dimension), dtype=np.float32)
        if not texts:
            return vectors
        if self._waiting_texts and self._waiting_texts + len(texts) > self._queue_length:
            raise Overloaded("Too many texts are waiting to be embedded; try again in a moment.")
        loop = asyncio.get_running_loop()
        call = _Call(texts, vectors, loop.create_future())
        self._calls.append(call)
        self._waiting_texts += len(texts)
        if self._running is None:
            # Not this caller's: Ray Serve cancels what is started in the context of a request.
            self._running = loop.create_task(self._run(), context=contextvars.Context())
        try:
            async with asyncio.timeout(timeout_s):
                await call.done
        except TimeoutError:
            raise DeadlineExceeded("The text was not embedded in time; try again in a moment.") from None
        finally:
            self._leave(call)
        return vectors

    def _leave(self, call: _Call) -> None:
        """Take out of the queue what a caller no longer waits for."""
        call.done.cancel()
        if call.begun < len(call.texts):
            self._waiting_texts -= len(call.texts) - call.begun
            self._calls.remove(call)

    async def _run(self) -> None:
        try:
            while batch := self._next_batch():
                await self._embed_batch(batch)
        finally:
            self._running = None

    def _next_batch(self) -> _Batch:
        """Texts of the waiting calls, one of each in turn, up to the budget."""
        batch: _Batch = {}
        tokens = 0
        while self._calls and tokens < self._batch_tokens:
            call = self._calls.popleft()
            batch.setdefault(call, []).append(call.begun)
            tokens += self._estimated_tokens(call.texts[call.begun])
            call.begun += 1
            self._waiting_texts -= 1
            if call.begun < len(call.texts):
                self._calls.append(call)
        return batch

    def _estimated_tokens(self, text: str) -> int:
        return min(len(text) // _CHARS_PER_TOKEN + 2, self._model.max_tokens)

    async def _embed_batch(self, batch: _Batch) -> None:
        texts = [call.texts[row] for call, rows in batch.items() for row in rows]
        self._observe(len(texts))
        try:
            vectors = await asyncio.get_running_loop().run_in_executor(self._worker, self._model.embed, texts)
            if vectors.shape != (len(texts), self._model.dimension):
                raise ValueError(f"The model gave vectors of the shape {vectors.shape}.")  # noqa: TRY301
        except VectorayError as error:
            await self._fail(batch, error)
        except Exception:  # noqa: BLE001  (logged, and told to the callers)
            _log.exception("embedding_failed", texts=len(texts))
            await self._fail(batch, InternalError("The text could not be embedded."))
        else:
            _hand_out(batch, vectors)

    async def _fail(self, batch: _Batch, error: VectorayError) -> None:
        """Give the error to whoever brought the text that cannot be embedded, and nobody else."""
        if len(batch) > 1:
            for call, rows in batch.items():
                await self._embed_batch({call: rows})
            return
        [call] = batch
        if not call.done.done():
            call.done.set_exception(error)


def _hand_out(batch: _Batch, vectors: FloatMatrix) -> None:
    first = 0
    for call, rows in batch.items():
        call.vectors[rows] = vectors[first : first + len(rows)]
        first += len(rows)
        call.missing -= len(rows)
        if not call.missing and not call.done.done():
            call.done.set_result(None)
