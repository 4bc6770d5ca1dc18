"""That pending work without anybody to take it is told from work that waits for its turn."""

from datetime import timedelta

from structlog.testing import capture_logs

from serve.ingestion_watch import IngestionWatch
from storage.catalog import Database, JobRuns, ProjectUrls, Worker, Workers
from tests.unit.storage.catalog.test_accounts import NOW, databases
from tests.unit.storage.catalog.test_jobs import catalog, docs, job, jobs, upload, uploads
from vectoray.core.ingestion import Job

__all__ = ["catalog", "databases", "docs", "job", "jobs", "upload", "uploads"]


async def test_work_that_nobody_can_take_is_told_from_work_that_waits(
    databases: tuple[Database, Database], job: Job
) -> None:
    workers = Workers(databases[0])
    watch = IngestionWatch(workers, ProjectUrls(databases[0]))
    with capture_logs() as logs:
        assert await watch.look(NOW)
    assert [(log["event"], log["jobs"]) for log in logs] == [("ingestion_has_no_worker", 1)]
    await workers.beat(Worker("w", NOW, NOW, running=0), [], NOW)
    assert not await watch.look(NOW + timedelta(seconds=29))
    assert await watch.look(NOW + timedelta(seconds=31)), "the worker is silent"
    claim = await JobRuns(databases[1]).claim_next("w", NOW, NOW + timedelta(seconds=15))
    assert claim is not None
    assert not await watch.look(NOW + timedelta(seconds=31)), "nothing is pending"
