"""How much one caller may ask for, and what a new collection gets when they do not say."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vectoray.core.errors import LimitExceeded
from vectoray.embedding import ModelInfo


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that every API family shares.

    Attributes:
        max_dimension: Largest dimension of a new collection.
        max_batch_points: Most points in one insert.
        max_payload_bytes: Largest payload of a point, as JSON without spaces, and most characters of its
            text.
        max_upload_bytes: Size of a file that is uploaded.
        max_streams_per_user: Streams of events that one user may have open at a gateway.
        max_batch_urls: Most URLs submitted at once.
        max_project_urls: Most URLs of one project.
    """

    max_dimension: int = 16384
    max_batch_points: int = 10_000
    max_payload_bytes: int = 1024 * 1024
    max_upload_bytes: int = 64 * 2**20
    max_streams_per_user: int = 16
    max_batch_urls: int = 1000
    max_project_urls: int = 100_000

    def check_sizes(
        self, payloads: Sequence[bytes], texts: Sequence[str | None], *, where: str = "vectors[{row}]."
    ) -> None:
        """Let the rows of a write pass.

        Args:
            payloads: JSON objects as UTF-8 bytes.
            texts: What full-text search sees.
            where: What comes before a field's name where a row is named; ``{row}`` is its number.

        Raises:
            LimitExceeded: The first that is too large.
        """
        self._check_lengths(map(len, payloads), where, "metadata", "bytes")
        self._check_lengths((len(text) if text else 0 for text in texts), where, "a text", "characters")

    def _check_lengths(self, lengths: Iterable[int], where: str, what: str, unit: str) -> None:
        for row, length in enumerate(lengths):
            if length > self.max_payload_bytes:
                at = where.format(row=row).rstrip(".")
                raise LimitExceeded(
                    f"{at or 'It'} has {what} of {length} {unit}, at most {self.max_payload_bytes} are "
                    "allowed.",
                    {"at": at, "limit": self.max_payload_bytes},
                )


MAX_QUERY_CHARACTERS = 32_768
"""Models look at the first few hundred words; all of a text is taken apart for them."""


def check_query_text(text: str | None) -> None:
    """Let a text to search for pass.

    Raises:
        LimitExceeded: It is too long.
    """
    if text is not None and len(text) > MAX_QUERY_CHARACTERS:
        raise LimitExceeded(
            f"'text' has {len(text)} characters, at most {MAX_QUERY_CHARACTERS} are allowed.",
            {"at": "text", "limit": MAX_QUERY_CHARACTERS},
        )


@dataclass(frozen=True, slots=True)
class CollectionDefaults:
    """What a new collection gets.

    Attributes:
        shards: Number of shards.
        embedding_model: Given to collections whose dimension is the model's, so that text can search them.
    """

    shards: int = 1
    embedding_model: ModelInfo | None = None


def check_most(rows: int, limits: Limits, *, where: str) -> None:
    """Let a batch of so many points pass.

    Args:
        rows: How many.
        limits: How many there may be.
        where: What the caller calls the batch.

    Raises:
        LimitExceeded: There are too many.
    """
    if rows > limits.max_batch_points:
        raise LimitExceeded(
            f"'{where}' has {rows} items, at most {limits.max_batch_points} are allowed; "
            "send them in smaller batches.",
            {"at": where, "limit": limits.max_batch_points},
        )
