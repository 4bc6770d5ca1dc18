"""What an embedding model is, and which texts it accepts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vectoray.core.errors import InvalidRequest
from vectoray.core.model import FloatMatrix
from vectoray.embedding.device import Device


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What can be said of a model without loading it.

    Attributes:
        name: What collections and settings call it.
        provider: Who made it.
        dimension: Length of its vectors.
        max_tokens: How much of a text it reads; the rest is ignored.
        version: Of its weights, as whoever publishes them counts.
    """

    name: str
    provider: str
    dimension: int
    max_tokens: int
    version: str = "1"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a model is to run.

    Attributes:
        device: Where.
        threads: Threads of the CPU that ``embed`` may use; 0 means one per core.
        low_latency: Whether single short texts matter more than many texts an hour.
    """

    device: Device = "cpu"
    threads: int = 0
    low_latency: bool = False


class EmbeddingModel(Protocol):
    """Turns texts into vectors of unit length; texts close in meaning get a high inner product.

    Every implementation may be called from several threads.
    """

    @property
    def name(self) -> str:
        """What collections and settings call the model."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    @property
    def max_tokens(self) -> int:
        """How much of a text is read; the rest is ignored."""

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """The vectors of ``texts``, in their order: float32, shape (len(texts), dimension), L2-normalised.

        Raises:
            InvalidRequest: A text is not valid Unicode.
        """


def check_texts(texts: Sequence[str]) -> None:
    """Refuse strings that have no UTF-8 form, such as a lone surrogate that came in JSON.

    Raises:
        InvalidRequest: Names the first such text.
    """
    for row, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"texts[{row}] is not valid Unicode.", {"at": f"texts[{row}]"}) from None
