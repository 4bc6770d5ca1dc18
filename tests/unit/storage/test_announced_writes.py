"""Whoever listens to a shard is told what each write was, and the log keeps what they have not announced."""

from storage.records import WriteKind, WriteRun
from storage.shard import LOG
from storage.writer import ShardWriter
from tests.unit.storage.conftest import OpenShard, batch_of, clustered
from vectoray.core.model import WriteMode


def told(runs: list[WriteRun]) -> list[tuple[int, str, WriteKind]]:
    return [
        (run.first_seq + row, point_id, WriteKind(kind))
        for run in runs
        for row, (point_id, kind) in enumerate(zip(run.ids, run.kinds.tolist(), strict=True))
    ]


def files_in(writer: ShardWriter) -> list[str]:
    return sorted(path.name for path in (writer.directory / LOG).iterdir())


def test_each_write_is_told_with_its_kind_and_reads_back_from_the_log(open_shard: OpenShard) -> None:
    runs: list[WriteRun] = []
    writer = open_shard(listener=runs.append)
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()
    writer.write(batch_of(["c"], clustered(1)), WriteMode.INSERT).result()
    writer.write(batch_of(["a"], clustered(1)), WriteMode.UPDATE).result()
    writer.write(batch_of(["a", "d"], clustered(2)), WriteMode.INSERT, atomic=False).result()
    writer.delete(["b", "none"]).result()
    assert told(runs) == [
        (1, "a", WriteKind.UPSERT),
        (2, "b", WriteKind.UPSERT),
        (3, "c", WriteKind.INSERT),
        (4, "a", WriteKind.UPDATE),
        (5, "d", WriteKind.INSERT),
        (6, "b", WriteKind.DELETE),
    ]
    logged = [writer.log.read_run(first) for first in writer.log.batches(0)]
    assert told(logged) == told(runs)
    assert [run.updated_ms.tolist() for run in logged] == [run.updated_ms.tolist() for run in runs]
    assert writer.log.batches(3) == [4, 5, 6]


def test_the_log_keeps_what_is_not_announced_however_long_it_is_sealed_and_flushed(
    open_shard: OpenShard,
) -> None:
    writer = open_shard(listener=lambda _: None)
    for name in "abc":
        writer.upsert(batch_of([name], clustered(1))).result()
        writer.seal()
        writer.flush()
    assert len(files_in(writer)) == 3
    writer.announced(2)
    writer.upsert(batch_of(["d"], clustered(1))).result()
    writer.seal()
    writer.flush()
    assert writer.log.batches(0) == [3, 4]
    assert files_in(writer) == ["00000000000000000003.arrow", "00000000000000000004.arrow"]


def test_a_shard_opens_with_more_log_than_it_needs(open_shard: OpenShard) -> None:
    writer = open_shard(listener=lambda _: None)
    for name in "abc":
        writer.upsert(batch_of([name], clustered(1))).result()
        writer.seal()
        writer.flush()
    writer.close()
    again = open_shard(listener=lambda _: None)
    assert (again.head.seq, again.stats().points) == (3, 3)
    assert again.log.batches(0) == [1, 2, 3]
    again.upsert(batch_of(["a"], clustered(1))).result()
    assert again.head.seq == 4


def test_a_shard_without_a_listener_drops_its_log(open_shard: OpenShard) -> None:
    writer = open_shard()
    for name in "abc":
        writer.upsert(batch_of([name], clustered(1))).result()
    writer.seal()
    writer.flush()
    assert files_in(writer) == ["00000000000000000003.arrow"]
