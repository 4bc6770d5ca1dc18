"""The catalog: collections and whose they are, users and API keys. Knows no shard and no Ray."""

from storage.catalog.accounts import Accounts, RefreshToken
from storage.catalog.api_keys import ApiKeys, StoredKey
from storage.catalog.catalog import ANYONE, Catalog
from storage.catalog.database import Database, sqlite_url, with_driver
from storage.catalog.tables import CollectionState

__all__ = [
    "ANYONE",
    "Accounts",
    "ApiKeys",
    "Catalog",
    "CollectionState",
    "Database",
    "RefreshToken",
    "StoredKey",
    "sqlite_url",
    "with_driver",
]
