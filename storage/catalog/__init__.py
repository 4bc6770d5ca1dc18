"""The catalog: collections and whose they are, how much is asked of them, users and API keys.

Knows no shard and no Ray.
"""

from storage.catalog.accounts import Accounts, RefreshToken
from storage.catalog.api_keys import ApiKeys, StoredKey
from storage.catalog.catalog import ANYONE, Catalog
from storage.catalog.database import Database, sqlite_url, with_driver
from storage.catalog.identities import Identities
from storage.catalog.query_statistics import QueryStatistics, QueryTotals
from storage.catalog.tables import CollectionState

__all__ = [
    "ANYONE",
    "Accounts",
    "ApiKeys",
    "Catalog",
    "CollectionState",
    "Database",
    "Identities",
    "QueryStatistics",
    "QueryTotals",
    "RefreshToken",
    "StoredKey",
    "sqlite_url",
    "with_driver",
]
