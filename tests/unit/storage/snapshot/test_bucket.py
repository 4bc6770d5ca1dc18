"""Snapshots in a bucket, on a server of this machine that speaks S3: ``moto_server``, if it is installed.

It cannot be among the project's own packages, whose versions it contradicts. In an environment of its own
(``pip install "moto[server]"``) and on the PATH, it is found.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from storage.settings import StorageSettings
from storage.shard import ShardSpec, create_shard
from storage.snapshot import Snapshot, read_snapshot, restore, snapshot, verify_snapshot
from storage.snapshot_store import _Bucket, open_store
from storage.writer import ShardWriter
from tests.unit.storage.conftest import DIMENSION, batch_of, clustered
from tests.unit.storage.test_recovery import all_ids
from vectoray.core.errors import (
    Conflict,
    CorruptData,
    InvalidRequest,
    SnapshotNotFound,
    VectorayError,
)
from vectoray.core.model import IndexOptions, Metric

_SERVER = shutil.which("moto_server")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(_SERVER is None, reason="moto_server is not on the PATH"),
]

Address = Callable[[str], str]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a server with the bucket ``backups``."""
    # Not a pipe, which would be full after some hundred requests.
    log = tmp_path_factory.mktemp("server") / "log"
    command = [str(_SERVER), "-H", "127.0.0.1", "-p", "0"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            deadline_s = time.monotonic() + 30
            while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
            with urlopen(Request(f"http://127.0.0.1:{found[1]}/backups", method="PUT")):
                pass
            yield int(found[1])
        finally:
            server.kill()


@pytest.fixture
def at(port: int) -> Address:
    """The URI of a place in the bucket, or in another."""

    def address(path: str) -> str:
        server = quote(f"127.0.0.1:{port}", safe="")
        return f"s3://someone:hunter2@{path}?scheme=http&region=us-east-1&endpoint_override={server}"

    return address


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[list[ShardWriter]]:
    opened = []
    for number in range(2):
        directory = tmp_path / f"s{number}"
        create_shard(directory, ShardSpec(DIMENSION, Metric.COSINE, IndexOptions()))
        opened.append(ShardWriter(directory, StorageSettings(flush_interval_s=86_400)))
        opened[-1].upsert(batch_of([f"{number}-{row}" for row in range(50)], clustered(50))).result()
        opened[-1].seal()
        opened[-1].delete([f"{number}-0"]).result()
    yield opened
    for writer in opened:
        writer.close(flush=False)


def test_a_snapshot_in_a_bucket_is_restored(tmp_path: Path, writers: list[ShardWriter], at: Address) -> None:
    place = at("backups/round/trip")
    with pytest.raises(SnapshotNotFound):
        read_snapshot(place)
    written = snapshot(writers, place, collection={"name": "news"})
    directories = [tmp_path / "new" / str(number) for number in range(2)]
    assert restore(place, directories) == written == verify_snapshot(place)
    for writer, directory in zip(writers, directories, strict=True):
        again = ShardWriter(directory, StorageSettings())
        assert all_ids(again) == all_ids(writer)
        again.close()


def test_nothing_in_a_bucket_is_overwritten(writers: list[ShardWriter], at: Address) -> None:
    written = snapshot(writers, at("backups/taken"), collection={})
    with pytest.raises(Conflict):
        snapshot(writers, at("backups/taken"), collection={"other": True})
    assert verify_snapshot(at("backups/taken")) == written


def test_of_snapshots_to_one_place_at_once_at_most_one_is_made(
    writers: list[ShardWriter], at: Address
) -> None:
    ready = Barrier(4)

    def make(number: int, place: str) -> Snapshot | Conflict:
        ready.wait(10)
        try:
            return snapshot(writers, place, collection={"number": number})
        except Conflict as refused:
            return refused

    for round_ in range(3):
        place = at(f"backups/at-once-{round_}")
        with ThreadPoolExecutor(4) as pool:
            outcomes = list(pool.map(make, range(4), [place] * 4))
        made = [outcome for outcome in outcomes if isinstance(outcome, Snapshot)]
        assert len(made) <= 1
        if made:
            assert verify_snapshot(place) == made[0]
        else:
            assert open_store(place).sizes() == {}


@pytest.mark.parametrize("killed", [False, True])
def test_a_snapshot_that_fails_at_any_file_is_none(
    writers: list[ShardWriter], at: Address, monkeypatch: pytest.MonkeyPatch, *, killed: bool
) -> None:
    at_path = _Bucket._at
    whole = snapshot(writers, at(f"backups/whole-{killed}"), collection={})
    count = sum(len(part.files) for part in whole.shards)
    for failing in range(count + 2):
        place = at(f"backups/fails-{killed}-{failing}")
        calls = iter(range(100))

        def fail(bucket: _Bucket, path: str, failing: int = failing, calls: Iterator[int] = calls) -> str:
            if next(calls) == failing:
                raise KeyboardInterrupt
            return at_path(bucket, path)

        with monkeypatch.context() as patched:
            patched.setattr(_Bucket, "_at", fail)
            if killed:
                patched.setattr(_Bucket, "_delete", lambda *_: None)
            with pytest.raises(KeyboardInterrupt):
                snapshot(writers, place, collection={})
        with pytest.raises(SnapshotNotFound):
            read_snapshot(place)
        if killed and failing:
            # What it left is not written over.
            with pytest.raises(Conflict):
                snapshot(writers, place, collection={})
        else:
            assert open_store(place).sizes() == {}


@pytest.mark.parametrize("spoil", ["other bytes", "cut short", "missing", "extra"])
def test_a_bucket_whose_files_are_not_as_they_were_is_refused(
    tmp_path: Path, writers: list[ShardWriter], at: Address, spoil: str
) -> None:
    place = at(f"backups/spoilt-{quote(spoil)}")
    snapshot(writers, place, collection={})
    store = open_store(place)
    victim = next(name for name in store.sizes() if name.endswith("rows.arrow"))
    data = b"".join(store.read(victim))
    store._delete(victim)  # type: ignore[attr-defined]
    new = {"other bytes": data[:-1] + bytes([data[-1] ^ 1]), "cut short": data[:-1], "extra": data}.get(spoil)
    for name in [victim, *(["shard-0000/more"] if spoil == "extra" else [])]:
        if new is not None:
            with store._bucket.open_output_stream(store._at(name)) as stream:  # type: ignore[attr-defined]
                stream.write(new)
    with pytest.raises(CorruptData):
        verify_snapshot(place)
    with pytest.raises(CorruptData):
        restore(place, [tmp_path / "new" / "0", tmp_path / "new" / "1"])
    assert not (tmp_path / "new").exists() or list((tmp_path / "new").iterdir()) == []


def test_errors_of_a_bucket_show_neither_credentials_nor_hosts(
    writers: list[ShardWriter], at: Address, port: int
) -> None:
    with pytest.raises(InvalidRequest, match="NO_SUCH_BUCKET") as missing:
        snapshot(writers, at("nobody/here"), collection={})
    with pytest.raises(SnapshotNotFound) as absent:
        read_snapshot(at("nobody/here"))
    for caught in (missing, absent):
        error: VectorayError = caught.value
        shown = f"{error.message} {error.details}"
        assert not [part for part in ("hunter2", "someone", "nobody", str(port)) if part in shown]
        assert error.__cause__ is None
        assert error.__suppress_context__
