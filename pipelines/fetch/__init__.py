"""Web pages by their URLs: fetched politely, within limits, and only from public addresses."""

from pipelines.fetch.fetcher import Fetcher
from pipelines.fetch.page import FetchError, FetchFailure, NotModified, Page, RobotsVerdict, Validators
from pipelines.fetch.settings import FetchSettings

__all__ = [
    "FetchError",
    "FetchFailure",
    "FetchSettings",
    "Fetcher",
    "NotModified",
    "Page",
    "RobotsVerdict",
    "Validators",
]
