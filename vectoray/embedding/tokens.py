"""Texts to token ids, in batches of similar length. Knows neither OpenVINO nor torch."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from vectoray.embedding.encoder_folder import EncoderFolder
from vectoray.embedding.model import check_texts

# Reading more would cost seconds for a text of megabytes and change nothing: tokens have about four
# characters.
_MAX_CHARS_PER_TOKEN = 128


class TokenReader:
    """Reads texts as a model does: cut at its limit of tokens, with its special tokens around them.

    A `vectoray.embedding.model.TokenCounter` too.
    """

    def __init__(self, folder: EncoderFolder) -> None:
        """Load the tokenizer of a model."""
        self.max_tokens = folder.max_tokens
        self._pad_id = folder.pad_id
        self._lowercase = folder.lowercase
        self._tokenizer = Tokenizer.from_file(str(folder.tokenizer))
        # The file may come with shorter limits and fixed padding of its own.
        self._tokenizer.enable_truncation(folder.max_tokens)
        self._tokenizer.no_padding()

    def read(self, texts: Sequence[str]) -> list[Encoding]:
        """The tokens of each text.

        Raises:
            InvalidRequest: A text is not valid Unicode.
        """
        check_texts(texts)
        cut = [text[: self.max_tokens * _MAX_CHARS_PER_TOKEN] for text in texts]
        encodings: list[Encoding] = self._tokenizer.encode_batch_fast(self._in_case(cut))
        return encodings

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, as `TokenCounter.count_tokens`."""
        check_texts(texts)
        return [len(encoding) for encoding in self._unlimited.encode_batch_fast(self._in_case(texts))]

    @cached_property
    def _unlimited(self) -> Tokenizer:
        # Limits are a state of a tokenizer, which other threads use meanwhile.
        tokenizer = Tokenizer.from_str(self._tokenizer.to_str())
        tokenizer.no_truncation()
        return tokenizer

    def _in_case(self, texts: Sequence[str]) -> Sequence[str]:
        return [text.lower() for text in texts] if self._lowercase else texts

    def pad(
        self, encodings: Sequence[Encoding], *, step: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Token ids and attention mask, int64 (n, longest rounded up to ``step``, within the model's limit).

        Where there is no token, the mask is zero.
        """
        longest = max(len(encoding) for encoding in encodings)
        shape = (len(encodings), min(padded(longest, step), self.max_tokens))
        ids = np.full(shape, self._pad_id, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding)] = encoding.ids
            mask[row, : len(encoding)] = 1
        return ids, mask


def length_sorted_batches(lengths: Sequence[int], *, batch_tokens: int, step: int) -> Iterator[list[int]]:
    """Rows of similar length, in groups of at most ``batch_tokens`` padded tokens, or of one row.

    The longest come first, so that the cores finish together rather than one of them with the largest batch,
    and memory that suffices for the first batch suffices for all.
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if batch and (len(batch) + 1) * padded(lengths[batch[0]], step) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def padded(length: int, step: int) -> int:
    """``length`` rounded up to a multiple of ``step``."""
    return -(-length // step) * step
