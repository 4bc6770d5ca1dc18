"""Runs a sentence encoder on a GPU with torch, in half precision; on the CPU in float32, for comparison.

Imports torch and transformers, which takes seconds: only a process that embeds with it does.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import structlog
import torch
import transformers

from vectoray.core.model import FloatMatrix
from vectoray.embedding.device import Device
from vectoray.embedding.encoder_folder import EncoderFolder
from vectoray.embedding.model import ModelInfo
from vectoray.embedding.quiet_torch import quiet_torch
from vectoray.embedding.tokens import TokenReader, length_sorted_batches

# Padded tokens in one forward pass at most: more keeps even a large GPU no busier.
_MAX_BATCH_TOKENS = 65_536
_CPU_BATCH_TOKENS = 2048
# Bytes of a forward pass for each token, several times what a small encoder in half precision needs.
_BYTES_PER_TOKEN = 64 * 1024
# Others may share the GPU.
_SHARE_OF_FREE_MEMORY = 0.5

# The matrix units of GPUs want lengths that are multiples of eight.
_LENGTH_STEP = 8

_log = structlog.get_logger(__name__)


class TorchModel:
    """A sentence encoder on torch: pooling over the tokens, then perhaps L2 normalisation, both in float32.

    Calls from several threads run one after another.
    """

    def __init__(
        self,
        info: ModelInfo,
        *,
        folder: EncoderFolder,
        fingerprint: str,
        device: Device,
        half: bool | None = None,
        batch_tokens: int | None = None,
    ) -> None:
        """Load a transformers encoder and its tokenizer from a local folder.

        Args:
            info: What it is.
            folder: Where it is, and how it works.
            fingerprint: As `EmbeddingModel.fingerprint`.
            device: Where it runs.
            half: Whether the encoder computes in float16; None: on a GPU.
            batch_tokens: Padded tokens in one forward pass; None: what the free memory of the GPU allows.
        """
        self.name = info.name
        self.dimension = info.dimension
        self.max_tokens = info.max_tokens
        self.fingerprint = fingerprint
        self._tokens = TokenReader(folder)
        self._pooling = folder.pooling
        self._normalize = folder.normalize
        self._device = torch.device("cuda" if device == "gpu" else "cpu")
        half = device == "gpu" if half is None else half
        with quiet_torch():
            encoder: Any = transformers.AutoModel.from_pretrained(
                str(folder.path),
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float16 if half else torch.float32,
                attn_implementation="sdpa",
            )
        self._encoder = encoder.to(self._device).eval()
        self._batch_tokens = batch_tokens or _batch_tokens(self._device)
        self._turn = threading.Lock()

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """The vectors of ``texts``, as `EmbeddingModel.embed`."""
        encodings = self._tokens.read(texts)
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        lengths = [len(encoding) for encoding in encodings]
        with self._turn, torch.inference_mode():
            # Nothing is copied back before all is begun, or the GPU would wait while batches are padded.
            begun = []
            for rows in length_sorted_batches(lengths, batch_tokens=self._batch_tokens, step=_LENGTH_STEP):
                ids, mask = self._tokens.pad([encodings[row] for row in rows], step=_LENGTH_STEP)
                begun.append((rows, self._encode(torch.from_numpy(ids), torch.from_numpy(mask))))
            for rows, part in begun:
                vectors[rows] = part.cpu().numpy()
        return vectors

    def _encode(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Vectors of one batch, float32 (n, dimension) on the device; in halves if its memory is short."""
        try:
            return self._forward(ids, mask)
        except torch.OutOfMemoryError:
            if len(ids) == 1:
                raise
        # Outside of the handler, whose traceback keeps the failed pass's tensors alive.
        self._batch_tokens = max(self._batch_tokens // 2, self.max_tokens)
        _log.warning("embedding_batch_halved", batch_tokens=self._batch_tokens)
        torch.cuda.empty_cache()
        return torch.cat([self._encode(*half) for half in zip(_halves(ids), _halves(mask), strict=True)])

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        ids, mask = ids.to(self._device), mask.to(self._device)
        hidden = self._encoder(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        if self._pooling == "cls":
            pooled = hidden[:, 0]
        else:
            weights = mask.unsqueeze(-1).float()
            pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        return torch.nn.functional.normalize(pooled, dim=1) if self._normalize else pooled


def _halves(rows: torch.Tensor) -> Iterator[torch.Tensor]:
    middle = (len(rows) + 1) // 2
    yield rows[:middle]
    yield rows[middle:]


def _batch_tokens(device: torch.device) -> int:
    if device.type == "cpu":
        return _CPU_BATCH_TOKENS
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return min(int(free_bytes * _SHARE_OF_FREE_MEMORY) // _BYTES_PER_TOKEN, _MAX_BATCH_TOKENS)
