"""While clients write, a snapshot is all shards as of one moment; each client's every step is at another."""

import json
import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Self

import pytest

from storage.records import hash_id
from storage.snapshot import restore, snapshot
from storage.writer import ShardWriter
from tests.unit.storage.conftest import batch_of, clustered, let_others_run
from tests.unit.storage.snapshot.conftest import OpenAt
from tests.unit.storage.test_recovery import all_ids

pytestmark = pytest.mark.slow

SHARDS, CLIENTS, KEYS = 3, 3, 7


def key(client: int, step: int) -> str:
    return f"client{client}-key{step % KEYS}"


def ledger(client: int, steps: int) -> dict[str, int]:
    """What the client's points are after some steps."""
    points: dict[str, int] = {}
    for step in range(steps):
        if step % 5 == 4:
            points.pop(key(client, step), None)
        else:
            points[key(client, step)] = step
    return points


class Clients:
    """Threads that each write one point after the other, the next when the last is acknowledged."""

    def __init__(self, writers: Sequence[ShardWriter]) -> None:
        self._writers = writers
        self._stop = Event()
        self.begun = [0] * CLIENTS
        self.acknowledged = [0] * CLIENTS
        self.errors: list[BaseException] = []
        self._threads = [Thread(target=self._write, args=(client,)) for client in range(CLIENTS)]
        self._threads.append(Thread(target=self._maintain))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def let_them_write(self, more: int, within_s: float = 10) -> bool:
        goals = [done + more for done in self.acknowledged]
        progress = Event()
        for _ in range(int(within_s / 0.002)):
            if all(done >= goal for done, goal in zip(self.acknowledged, goals, strict=True)):
                return True
            progress.wait(0.002)
        return False

    def _write(self, client: int) -> None:
        step = 0
        try:
            while not self._stop.is_set():
                name = key(client, step)
                writer = self._writers[hash_id(name) % SHARDS]
                self.begun[client] = step + 1
                if step % 5 == 4:
                    writer.delete([name]).result(20)
                else:
                    payload = json.dumps({"step": step}).encode()
                    writer.upsert(batch_of([name], clustered(1, seed=step), payload)).result(20)
                step += 1
                self.acknowledged[client] = step
        except BaseException as error:  # noqa: BLE001  (the test shows it)
            self.errors.append(error)

    def _maintain(self) -> None:
        try:
            for turn in count():
                for writer in self._writers:
                    if self._stop.is_set():
                        return
                    writer.seal()
                    writer.merge()
                    if turn % 4 == 0:
                        writer.flush()
                    let_others_run()
        except BaseException as error:  # noqa: BLE001  (the test shows it)
            self.errors.append(error)


def check_ledgers(opened: Sequence[ShardWriter], at_least: Sequence[int], at_most: Sequence[int]) -> None:
    stored = [point for writer in opened for name in all_ids(writer) if (point := writer.get(name))]
    for client in range(CLIENTS):
        mine = {
            point.id: json.loads(point.payload)["step"]
            for point in stored
            if point.id.startswith(f"client{client}-")
        }
        prefixes = [ledger(client, steps) for steps in range(at_least[client], at_most[client] + 1)]
        assert mine in prefixes, f"client {client}: {mine}"


def test_snapshots_while_clients_write_hold_a_prefix_of_each_client_and_all_that_was_acknowledged(
    tmp_path: Path, open_at: OpenAt
) -> None:
    writers = [open_at(tmp_path / f"s{number}", seal_rows=8, merge_factor=2) for number in range(SHARDS)]
    bounds = []
    with Clients(writers) as clients:
        for round_ in range(4):
            assert clients.let_them_write(5)
            at_least = list(clients.acknowledged)
            snapshot(writers, tmp_path / f"round{round_}", collection={})
            bounds.append((at_least, list(clients.begun)))
    assert clients.errors == []
    for round_, (at_least, at_most) in enumerate(bounds):
        folders = [tmp_path / f"restored{round_}" / str(number) for number in range(SHARDS)]
        restore(tmp_path / f"round{round_}", folders)
        opened = [open_at(folder, make=False) for folder in folders]
        check_ledgers(opened, at_least, at_most)
        for writer in opened:
            writer.close(flush=False)


def test_no_shard_goes_on_before_all_shards_are_linked(
    tmp_path: Path, open_at: OpenAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = [open_at(tmp_path / f"s{number}") for number in range(SHARDS)]
    link, progress = os.link, []
    with Clients(writers) as clients:
        assert clients.let_them_write(10)

        def slowly(source: Path, target: Path) -> None:
            link(source, target)
            if source.name == "shard.json":
                progress.append(clients.let_them_write(2, within_s=0.2))

        monkeypatch.setattr(os, "link", slowly)
        at_least = list(clients.acknowledged)
        snapshot(writers, tmp_path / "s", collection={})
        at_most = list(clients.begun)
        assert clients.let_them_write(2)
    assert clients.errors == []
    assert progress == [False] * SHARDS
    folders = [tmp_path / "restored" / str(number) for number in range(SHARDS)]
    restore(tmp_path / "s", folders)
    check_ledgers([open_at(folder, make=False) for folder in folders], at_least, at_most)
