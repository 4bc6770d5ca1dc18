"""Runs a converted sentence encoder on the CPU's cores."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from vectoray.core.model import FloatMatrix
from vectoray.embedding.model import ModelInfo, check_texts
from vectoray.embedding.openvino_offline import openvino

# Padded tokens in one inference. Larger batches spill the cache, smaller ones idle the matrix units.
_BATCH_TOKENS = 2048

# Lengths are rounded up to this, because OpenVINO prepares its kernels anew for each new shape.
_LENGTH_STEP = 16


class OpenVinoModel:
    """A sentence encoder on OpenVINO.

    Inference precision is OpenVINO's choice: bfloat16 where the processor computes with it, else float32.
    Calls from several threads run one after another; one call uses every thread the model was given.
    """

    def __init__(self, info: ModelInfo, *, model: Path, tokenizer: Path, threads: int) -> None:
        """Load the converted ``model`` (.xml) and its ``tokenizer`` (.json); ``threads`` 0: one per core."""
        self.name = info.name
        self.dimension = info.dimension
        self.max_tokens = info.max_tokens
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        # The file may come with shorter limits and fixed padding of its own.
        self._tokenizer.enable_truncation(info.max_tokens)
        self._tokenizer.no_padding()
        config: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT"}
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        self._requests = openvino.AsyncInferQueue(openvino.Core().compile_model(model, "CPU", config))
        self._requests.set_callback(_store)
        self._turn = threading.Lock()

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """The vectors of ``texts``, as `EmbeddingModel.embed`."""
        check_texts(texts)
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        with self._turn:
            try:
                for rows in _batches([len(encoding) for encoding in encodings]):
                    inputs = _pad([encodings[row] for row in rows])
                    self._requests.start_async(inputs, userdata=(vectors, rows))
            finally:
                self._requests.wait_all()
        return vectors


def _store(request: Any, destination: tuple[FloatMatrix, list[int]]) -> None:
    """Copy one batch's result to its rows; called by OpenVINO when the batch is done."""
    vectors, rows = destination
    batch = request.output_tensors[0].data
    # bfloat16 normalises to about three digits.
    vectors[rows] = batch / np.linalg.norm(batch, axis=1, keepdims=True)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of similar length, in groups of at most `_BATCH_TOKENS` padded tokens; the longest come first.

    Longest first, so that the cores finish together rather than one of them with the largest batch.
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if batch and (len(batch) + 1) * _padded(lengths[batch[0]]) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _padded(length: int) -> int:
    return -(-length // _LENGTH_STEP) * _LENGTH_STEP


def _pad(encodings: Sequence[Encoding]) -> dict[str, npt.NDArray[np.int64]]:
    """Token ids and attention mask, int64 (n, longest rounded up), zero where there is no token."""
    shape = (len(encodings), _padded(max(len(encoding) for encoding in encodings)))
    ids = np.zeros(shape, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding)] = encoding.ids
        mask[row, : len(encoding)] = 1
    return {"input_ids": ids, "attention_mask": mask}
