"""The catalog: collections and whose they are, how much is asked of them, users, keys, jobs, projects.

Knows no shard and no Ray.
"""

from storage.catalog.accounts import Accounts, RefreshToken
from storage.catalog.api_keys import ApiKeys, StoredKey
from storage.catalog.catalog import ANYONE, Catalog
from storage.catalog.database import Database, sqlite_url, with_driver
from storage.catalog.documents import Documents
from storage.catalog.identities import Identities
from storage.catalog.job_runs import JobClaim, JobRuns
from storage.catalog.jobs import Jobs
from storage.catalog.outbox import NOBODY, CollectionEvent, Outbox
from storage.catalog.project_shares import ProjectShares, SharedProject
from storage.catalog.project_urls import ProjectUrls, Submission
from storage.catalog.projects import Projects, Reader, StoredProject
from storage.catalog.query_statistics import QueryStatistics, QueryTotals
from storage.catalog.tables import CollectionState
from storage.catalog.uploads import Uploads
from storage.catalog.url_runs import StoredPage, UrlClaim, UrlRuns
from storage.catalog.work_queue import MOST_TRIES, Due
from storage.catalog.workers import Worker, Workers

__all__ = [
    "ANYONE",
    "MOST_TRIES",
    "NOBODY",
    "Accounts",
    "ApiKeys",
    "Catalog",
    "CollectionEvent",
    "CollectionState",
    "Database",
    "Documents",
    "Due",
    "Identities",
    "JobClaim",
    "JobRuns",
    "Jobs",
    "Outbox",
    "ProjectShares",
    "ProjectUrls",
    "Projects",
    "QueryStatistics",
    "QueryTotals",
    "Reader",
    "RefreshToken",
    "SharedProject",
    "StoredKey",
    "StoredPage",
    "StoredProject",
    "Submission",
    "Uploads",
    "UrlClaim",
    "UrlRuns",
    "Worker",
    "Workers",
    "sqlite_url",
    "with_driver",
]
