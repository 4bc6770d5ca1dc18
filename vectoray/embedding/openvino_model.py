"""Runs a converted sentence encoder on the CPU's cores."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vectoray.core.model import FloatMatrix
from vectoray.embedding.encoder_folder import EncoderFolder
from vectoray.embedding.model import ModelInfo
from vectoray.embedding.openvino_offline import openvino
from vectoray.embedding.tokens import TokenReader, length_sorted_batches

# Padded tokens in one inference. Larger batches spill the cache, smaller ones idle the matrix units.
_BATCH_TOKENS = 2048

# Lengths are rounded up to this, because OpenVINO prepares its kernels anew for each new shape.
_LENGTH_STEP = 16

# Batches of queries, in rows, whose kernels are prepared before the first query comes.
_WARM_ROWS = (2, 3, 4, 8, 16)

_Store = Callable[[Any, tuple[FloatMatrix, list[int]]], None]


class OpenVinoModel:
    """A sentence encoder on OpenVINO.

    Inference precision is OpenVINO's choice: bfloat16 where the processor computes with it, else float32.
    Calls from several threads run one after another; one call uses every thread the model was given.
    """

    def __init__(
        self,
        info: ModelInfo,
        *,
        folder: EncoderFolder,
        fingerprint: str,
        model: Path,
        threads: int,
        low_latency: bool = False,
    ) -> None:
        """Load a converted model.

        Args:
            info: What it is.
            folder: Says how it reads texts.
            fingerprint: As `EmbeddingModel.fingerprint`.
            model: Its ``.xml`` file.
            threads: Threads it may use; 0: one per core.
            low_latency: Whether all threads work on each batch and its usual shapes are prepared now, which
                suits single queries, or the threads share the batches among them, which suits documents.
        """
        self.name = info.name
        self.dimension = info.dimension
        self.max_tokens = info.max_tokens
        self.fingerprint = fingerprint
        self._tokens = TokenReader(folder)
        store = _store_units if folder.normalize else _store
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY" if low_latency else "THROUGHPUT"}
        if low_latency:
            # A thread bound to a core waits for it while another process uses it and others are idle.
            config["ENABLE_CPU_PINNING"] = False
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        compiled = openvino.Core().compile_model(model, "CPU", config)
        self._run = _InTurns(compiled, store) if low_latency else _Together(compiled, store)
        self._turn = threading.Lock()
        if low_latency:
            self._warm_up()

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """The vectors of ``texts``, as `EmbeddingModel.embed`."""
        encodings = self._tokens.read(texts)
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        lengths = [len(encoding) for encoding in encodings]
        with self._turn:
            try:
                for rows in length_sorted_batches(lengths, batch_tokens=_BATCH_TOKENS, step=_LENGTH_STEP):
                    ids, mask = self._tokens.pad([encodings[row] for row in rows], step=_LENGTH_STEP)
                    self._run.start(ids, mask, vectors, rows)
            finally:
                self._run.wait()
        return vectors

    def _warm_up(self) -> None:
        """Run shapes that queries have: a first run of any shape takes ten milliseconds and more longer."""
        shapes = [(1, length) for length in range(_LENGTH_STEP, self.max_tokens + 1, _LENGTH_STEP)]
        shapes += [(rows, length) for rows in _WARM_ROWS for length in (_LENGTH_STEP, 2 * _LENGTH_STEP)]
        shapes = [(rows, min(length, self.max_tokens)) for rows, length in shapes]
        for shape in shapes:
            ones = np.ones(shape, dtype=np.int64)
            nowhere = np.empty((shape[0], self.dimension), dtype=np.float32)
            self._run.start(ones, ones, nowhere, list(range(shape[0])))
        self._run.wait()


class _InTurns:
    """One batch at a time, in the calling thread: to hand a query to another one costs half a millisecond."""

    def __init__(self, compiled: Any, store: _Store) -> None:
        self._request = compiled.create_infer_request()
        self._store = store

    def start(
        self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64], vectors: FloatMatrix, rows: list[int]
    ) -> None:
        """Embed a batch into some rows of ``vectors``."""
        self._request.infer({"input_ids": ids, "attention_mask": mask}, share_inputs=True)
        self._store(self._request, (vectors, rows))

    def wait(self) -> None:
        """Return when everything that was started is done."""


class _Together:
    """As many batches at a time as OpenVINO has streams for."""

    def __init__(self, compiled: Any, store: _Store) -> None:
        self._requests = openvino.AsyncInferQueue(compiled)
        self._requests.set_callback(store)

    def start(
        self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64], vectors: FloatMatrix, rows: list[int]
    ) -> None:
        """As `_InTurns.start`, but it may not be done when this returns."""
        self._requests.start_async({"input_ids": ids, "attention_mask": mask}, userdata=(vectors, rows))

    def wait(self) -> None:
        """Return when everything that was started is done."""
        self._requests.wait_all()


def _store(request: Any, destination: tuple[FloatMatrix, list[int]]) -> None:
    """Copy one batch's result to its rows."""
    vectors, rows = destination
    vectors[rows] = request.output_tensors[0].data


def _store_units(request: Any, destination: tuple[FloatMatrix, list[int]]) -> None:
    """The same for vectors of unit length: bfloat16 normalises to about three digits."""
    vectors, rows = destination
    batch = request.output_tensors[0].data
    vectors[rows] = batch / np.linalg.norm(batch, axis=1, keepdims=True)
