"""The event log: what happened to all collections, in one lasting order. Knows no shard's files."""

from storage.events.batch import EventBatch
from storage.events.log import EventLog
from storage.events.page import EventPage
from storage.events.settings import EventSettings
from storage.events.shard_run import ShardKey, ShardRun

__all__ = ["EventBatch", "EventLog", "EventPage", "EventSettings", "ShardKey", "ShardRun"]
