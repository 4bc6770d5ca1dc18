"""Prints why a document is found, or is not: a line for each step, and where its chunks are."""

from datetime import UTC, datetime

from vectoray.cli.output import printable, say
from vectoray.client import ExplainedDocument


def say_document(document: ExplainedDocument) -> None:
    """Print the steps of a document, and below them its shards."""
    for step in document.steps:
        at = f" ({time_of(step.at)})" if step.at else ""
        say(f"  {step.name:10}  {step.answer:7}  {printable(step.reason)}{at}")
    for part in document.shards:
        say(
            f"  shard {part.shard:<4}  {part.chunks} chunks, the last at sequence {part.newest_sequence} "
            f"({time_of(part.updated_at)})"
        )


def time_of(time: datetime) -> str:
    """In UTC, to the second."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
