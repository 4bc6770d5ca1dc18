"""What an ingestion run says at its end: the reports of `pipelines.run`, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from vectoray.cli.output import printable, say


def say_report(report: Mapping[str, Any], collection: str) -> None:
    """Print what a run did."""
    say(f"Ingested into '{collection}' in {report['seconds']:.1f} s:")
    _say_table(
        [
            ("documents", report["documents"]),
            ("documents failed", report["documents_failed"]),
            ("chunks written", report["chunks_written"]),
            ("chunks unchanged", report["chunks_unchanged"]),
            ("chunks removed", report["chunks_removed"]),
            ("chunks/s", report["chunks_per_s"]),
        ]
    )
    _say_unread(report, "could not be stored")


def say_forecast(forecast: Mapping[str, Any]) -> None:
    """Print what a run would do."""
    say("Nothing was written. A run would read:")
    kinds = ", ".join(f"{count} {kind}" for kind, count in forecast["kinds"].items())
    _say_table(
        [
            ("documents", f"{forecast['documents']}" + (f" ({kinds})" if kinds else "")),
            ("documents failed", forecast["documents_failed"]),
            ("chunks", forecast["chunks"]),
        ]
    )
    _say_unread(forecast, "could not be read")


def _say_table(rows: Sequence[tuple[str, object]]) -> None:
    for name, value in rows:
        say(f"  {name:<16}  {value}")


def _say_unread(report: Mapping[str, Any], verb: str) -> None:
    listed = (
        (report["documents_failed"], verb, report["failed"]),
        (report["files_skipped"], "skipped", report["skipped"]),
    )
    for count, heading, named in listed:
        if count:
            say(f"{count} {heading}:")
        for item in named:
            say(f"  {printable(item['source'])}: {printable(item['reason'])}")
        if count > len(named):
            say(f"  and {count - len(named)} more")
