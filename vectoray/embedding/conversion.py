"""Turns a transformers text encoder into an OpenVINO model. Slow to import: only a missing cache needs it."""

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import torch
import transformers

from vectoray.embedding.encoder_folder import Pooling
from vectoray.embedding.openvino_offline import openvino
from vectoray.embedding.quiet_torch import quiet_torch


class _SentenceEncoder(torch.nn.Module):
    """Encoder, pooling over the tokens that are not padding, perhaps L2 normalisation."""

    def __init__(self, encoder: torch.nn.Module, *, pooling: Pooling, normalize: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.normalize = normalize

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Token ids and mask, int64 (n, tokens), to vectors, float32 (n, dimension)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        return torch.nn.functional.normalize(pooled, dim=1) if self.normalize else pooled


def convert(source: Path, target: Path, *, pooling: Pooling, normalize: bool) -> None:
    """Convert the encoder in folder ``source`` and write it to ``target`` (.xml, with a .bin beside it).

    The model takes ``input_ids`` and ``attention_mask``, int64 (n, tokens), and gives the sentence vectors,
    float32 (n, dimension), of unit length if ``normalize``. Only local files are read. Not for several
    threads at once: Python's warning filters are changed meanwhile.
    """
    with _quiet_tracing():
        encoder = transformers.AutoModel.from_pretrained(
            str(source), local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
        # The mask has a zero, or tracing could take "nothing is padding" for a constant.
        example = {
            "input_ids": torch.ones((2, 8), dtype=torch.int64),
            "attention_mask": torch.tensor([[1] * 8, [1] * 5 + [0] * 3]),
        }
        model = openvino.convert_model(
            _SentenceEncoder(encoder, pooling=pooling, normalize=normalize).eval(), example_input=example
        )
    openvino.save_model(model, str(target), compress_to_fp16=False)


@contextmanager
def _quiet_tracing() -> Iterator[None]:
    """Silence what OpenVINO's way of tracing is known to set off in torch and transformers."""
    with quiet_torch(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        yield


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--pooling", choices=get_args(Pooling), required=True)
    parser.add_argument("--normalize", action="store_true")
    options = parser.parse_args()
    convert(options.source, options.target, pooling=options.pooling, normalize=options.normalize)
