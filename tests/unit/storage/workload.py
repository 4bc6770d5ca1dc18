"""Random operations on a shard, of every kind a caller has, for tests that kill its owner.

Each row of each write has values of its own, made from its number: a vector that belongs to another payload,
or a row that is half of one write and half of another, equals no row that was ever written.
"""

import numpy as np

from tests.unit.storage.oracle import DeleteIds, DeleteWhere, Operation, Oracle, Row, WriteRows
from vectoray.core.filters import Eq, In, Range, SourceIs
from vectoray.core.model import WriteMode

DIMENSION = 8
IDS = [f"p{number:02d}" for number in range(48)]
_GROUPS = 12
_ROWS = 8


def row_of(version: int) -> Row:
    """The values of one row of one write."""
    vector = np.random.default_rng(version).standard_normal(DIMENSION).astype(np.float32)
    payload = b'{"version":%d,"group":%d}' % (version, version % _GROUPS)
    source = f"document {version % _GROUPS}" if version % 4 else None
    return Row(
        tuple(vector.tolist()),
        payload,
        f"text {version}" if version % 3 else None,
        source,
        version if source and version % 5 else None,
    )


def next_operation(random: np.random.Generator, oracle: Oracle, number: int) -> Operation:
    """An operation that makes sense in the state that ``oracle`` describes.

    Args:
        random: Decides. The same generator, state and number give the same operation.
        oracle: The state that the operation will meet.
        number: Unlike that of any other operation on the shard.
    """
    kind = random.random()
    if kind < 0.14:
        return DeleteIds(_ids(random))
    if kind < 0.2:
        return _delete_where(random)
    ids = _ids(random)
    rows = [row_of(number * _ROWS + at) for at in range(len(ids))]
    if kind < 0.5:
        return WriteRows(ids, rows)
    mode = list(WriteMode)[random.integers(len(WriteMode))]
    atomic = bool(random.random() < 0.5)
    if kind < 0.8:
        return WriteRows(ids, rows, mode, atomic)
    seqs = [oracle.points[name].seq if name in oracle.points else 0 for name in ids]
    if random.random() < 0.5:
        seqs[random.integers(len(seqs))] += 1
    return WriteRows(ids, rows, WriteMode.UPSERT, atomic, seqs)


def _ids(random: np.random.Generator) -> list[str]:
    """Some ids, now and then one of them twice."""
    return [IDS[at] for at in random.integers(len(IDS), size=random.integers(1, _ROWS + 1))]


def _delete_where(random: np.random.Generator) -> DeleteWhere:
    group, version = int(random.integers(_GROUPS)), int(random.integers(20_000))
    choices = [
        DeleteWhere(Eq(("group",), group), lambda payload, _: payload["group"] == group),
        DeleteWhere(In(("group",), (group, 0)), lambda payload, _: payload["group"] in {group, 0}),
        DeleteWhere(SourceIs(f"document {group}"), lambda _, source: source == f"document {group}"),
        DeleteWhere(
            Range(("version",), gte=version, lt=version + 40),
            lambda payload, _: version <= payload["version"] < version + 40,
        ),
    ]
    return choices[random.integers(len(choices))]
