"""What an embedding model is, and which texts it accepts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vectoray.core.errors import DimensionMismatch, InvalidRequest
from vectoray.core.model import Collection, FloatMatrix
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
        unit_length: Whether its vectors have length 1.
        runs_on_gpu: Whether a GPU makes it faster.
    """

    name: str
    provider: str
    dimension: int
    max_tokens: int
    version: str = "1"
    unit_length: bool = True
    runs_on_gpu: bool = False

    def check_dimension(self, dimension: int) -> None:
        """Refuse to put this model's vectors where those of another dimension belong.

        Raises:
            DimensionMismatch: ``dimension`` is not the model's.
        """
        if dimension != self.dimension:
            raise DimensionMismatch(
                f"Vectors of the model '{self.name}' have {self.dimension} dimensions, not {dimension}.",
                {"expected": self.dimension, "actual": dimension, "at": "dimension"},
            )


def model_of(collection: Collection, models: Iterable[ModelInfo]) -> ModelInfo:
    """The model whose vectors a collection holds, to be asked before documents are read for it.

    Raises:
        InvalidRequest: It has none, or one that is not among ``models``.
        DimensionMismatch: The model's vectors do not fit into the collection.
    """
    if collection.embedding_model is None:
        raise InvalidRequest(
            f"Collection '{collection.name}' has no embedding model, so it takes vectors, not documents."
        )
    for model in models:
        if model.name == collection.embedding_model:
            model.check_dimension(collection.dimension)
            return model
    raise InvalidRequest(
        f"Collection '{collection.name}' has vectors of the model '{collection.embedding_model}', which this "
        "server does not have."
    )


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
    """Turns texts into vectors; texts close in meaning get similar ones.

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

    @property
    def fingerprint(self) -> str:
        """Of all that vectors depend on: models of the same name and fingerprint give the same vectors.

        But for rounding, which differs between processors.
        """

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """The vectors of ``texts``, in their order: float32, shape (len(texts), dimension).

        They are L2-normalised where `ModelInfo.unit_length` says so. A model behind a network may also
        raise `Unavailable` or `InternalError`.

        Raises:
            InvalidRequest: A text is not valid Unicode, or the model refuses it.
        """


class TokenCounter(Protocol):
    """Says how much of a model's limit texts take, without the model's weights."""

    @property
    def max_tokens(self) -> int:
        """How many tokens of a text the model reads."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, those that the model puts around it included; without a limit.

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
