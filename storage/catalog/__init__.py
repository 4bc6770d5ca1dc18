"""The catalog: which collections exist, whose they are and how they are built. Knows no shard and no Ray."""

from storage.catalog.catalog import Catalog
from storage.catalog.database import sqlite_url
from storage.catalog.tables import CollectionState

__all__ = ["Catalog", "CollectionState", "sqlite_url"]
