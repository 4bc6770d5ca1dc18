"""Remembers the vectors of recent texts in this process, so that a repeated query costs no call.

Only digests and vectors are kept, never a text: memory is bounded by the number of entries, and what users
asked cannot be read from it. Knows no Ray.
"""

import asyncio
import contextvars
import hashlib
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vectoray.core.model import FloatMatrix, FloatVector
from vectoray.embedding.model import check_texts

_DIGEST_BYTES = 32


class TextEmbedder(Protocol):
    """Turns texts into vectors, wherever the models live."""

    def embed(self, model_name: str, texts: Sequence[str]) -> Coroutine[Any, Any, FloatMatrix]:
        """The vectors of ``texts``: float32, shape (len(texts), dimension of the model)."""


_Key = tuple[str, bytes]


@dataclass(eq=False, slots=True)
class _Call:
    """A call under way, which ends when nobody waits for it any more."""

    keys: Sequence[_Key]
    task: asyncio.Task[FloatMatrix]
    waiters: int = 0


class EmbeddingCache:
    """A `TextEmbedder` in front of another one. To be used from one event loop."""

    def __init__(self, embedder: TextEmbedder, *, entries: int) -> None:
        """Keep ``entries`` vectors of what ``embedder`` gives; with 0, only calls under way are shared."""
        self._embedder = embedder
        self._entries = entries
        self._vectors: OrderedDict[_Key, FloatVector] = OrderedDict()
        self._calls: dict[_Key, _Call] = {}

    async def embed(self, model_name: str, texts: Sequence[str]) -> FloatMatrix:
        """As `TextEmbedder.embed`. What others are asking for at this moment is not asked for again.

        Raises:
            InvalidRequest: A text is not valid Unicode.
            VectorayError: What the embedder raises.
        """
        check_texts(texts)
        if not texts:
            return await self._embedder.embed(model_name, texts)
        keys = [(model_name, _digest(text)) for text in texts]
        vectors = self._remembered(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        for call in await self._finished(self._calls_for(model_name, missing)):
            vectors.update(zip(call.keys, call.task.result(), strict=True))
        return np.stack([vectors[key] for key in keys])

    def _remembered(self, keys: Sequence[_Key]) -> dict[_Key, FloatVector]:
        found = {key: self._vectors[key] for key in keys if key in self._vectors}
        for key in found:
            self._vectors.move_to_end(key)
        return found

    def _calls_for(self, model_name: str, missing: Mapping[_Key, str]) -> set[_Call]:
        """The calls that give the missing vectors: those under way that do, and a new one for the rest."""
        calls = {self._calls[key] for key in missing if key in self._calls}
        new = {key: text for key, text in missing.items() if key not in self._calls}
        if new:
            calls.add(self._begin(model_name, new))
        return calls

    def _begin(self, model_name: str, texts: Mapping[_Key, str]) -> _Call:
        # Not this caller's: Ray Serve cancels what is started in the context of a request.
        task = asyncio.get_running_loop().create_task(
            self._embedder.embed(model_name, list(texts.values())), context=contextvars.Context()
        )
        call = _Call(list(texts), task)
        self._calls.update(dict.fromkeys(texts, call))
        task.add_done_callback(lambda _: self._end(call))
        return call

    async def _finished(self, calls: set[_Call]) -> set[_Call]:
        """Wait for the calls; those that nobody else waits for end with this caller."""
        if not calls:
            return calls
        for call in calls:
            call.waiters += 1
        try:
            await asyncio.wait([call.task for call in calls])
        finally:
            for call in calls:
                call.waiters -= 1
                if not call.waiters and call.task.cancel():
                    self._release(call)
        return calls

    def _end(self, call: _Call) -> None:
        self._release(call)
        # Asking for the exception also tells asyncio that it was not overlooked.
        if call.task.cancelled() or call.task.exception() is not None:
            return
        for key, vector in zip(call.keys, call.task.result(), strict=True):
            # A row of its own: a view would keep the whole answer alive.
            self._vectors[key] = vector.copy()
        while len(self._vectors) > self._entries:
            self._vectors.popitem(last=False)

    def _release(self, call: _Call) -> None:
        """Let nobody join the call from now on."""
        for key in call.keys:
            if self._calls.get(key) is call:
                del self._calls[key]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
