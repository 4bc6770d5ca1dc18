"""Arrow streams that would grow while they are read, or are odd in other ways."""

import io
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from serve.arrow_body import decode_arrow
from serve.service.points import NewPoints
from serve.surfaces.vectorizer import wire
from vectoray.core.errors import InvalidRequest

VECTORS = pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))
END = b"\xff\xff\xff\xff\0\0\0\0"
CODEC = {"ARROW:experimental_compression": "zstd"}


def stream(columns: dict[str, Any], *, metadata: dict[str, str] | None = None, **options: Any) -> bytes:
    batch = pa.record_batch(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(batch, custom_metadata=metadata)
    return sink.getvalue()


def rows_of(body: bytes) -> NewPoints:
    return decode_arrow(body, wire.InsertVectors)["vectors"]


@pytest.mark.parametrize("version", [pa.ipc.MetadataVersion.V4, pa.ipc.MetadataVersion.V5])
def test_streams_of_both_versions_are_read(version: Any) -> None:
    rows = rows_of(stream({"id": ["a"], "vector": VECTORS}, metadata_version=version))
    assert (rows.ids, np.asarray(rows.vectors).tolist()) == (["a"], [[1, 2]])


def test_metadata_of_the_present_version_is_passed_over() -> None:
    assert rows_of(stream({"id": ["a"], "vector": VECTORS}, metadata=CODEC)).ids == ["a"]


def test_a_stream_that_names_its_codec_as_the_old_format_did_is_refused_before_it_grows() -> None:
    size = 1 << 24
    packed = struct.pack("<q", size) + pa.compress(bytes(size), codec="zstd", asbytes=True)
    numbers = np.frombuffer(packed + bytes(-len(packed) % 4), np.float32)
    body = stream({"x": numbers}, metadata=CODEC, metadata_version=pa.ipc.MetadataVersion.V4)
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(InvalidRequest, match="compressed"):
        rows_of(body)
    assert pa.default_memory_pool().max_memory() - before < size


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_a_compressed_stream_is_refused(codec: str) -> None:
    with pytest.raises(InvalidRequest, match="compressed"):
        rows_of(stream({"id": ["a"], "vector": VECTORS}, compression=codec))


def test_a_name_within_a_struct_that_is_no_utf8_is_refused() -> None:
    body = stream({"id": ["a"], "vector": VECTORS, "payload": [{"naïve": 1}]})
    with pytest.raises(InvalidRequest, match="malformed"):
        rows_of(body.replace("ï".encode(), b"\xff\xff"))


def test_a_struct_with_two_fields_of_one_name_is_refused() -> None:
    inner = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["b", "b"])
    payload = pa.StructArray.from_arrays([inner], ["a"])
    with pytest.raises(InvalidRequest, match=r"'payload\.a' has two fields of one name"):
        rows_of(stream({"id": ["a"], "vector": VECTORS, "payload": payload}))


def test_a_million_small_structs_are_too_many() -> None:
    many = pa.StructArray.from_arrays([pa.array(np.ones(1 << 20, np.int8))], [""])
    payload = pa.StructArray.from_arrays([pa.ListArray.from_arrays([0, 1 << 20], many)], ["x"])
    with pytest.raises(InvalidRequest, match="too large"):
        rows_of(stream({"id": ["a"], "vector": VECTORS, "payload": payload}))


def test_a_stream_that_begins_with_another_message_than_a_schema_is_refused() -> None:
    """Arrow would take it for one and end the process."""
    batch = pa.record_batch({"id": ["a"], "vector": VECTORS})
    tensor = pa.BufferOutputStream()
    pa.ipc.write_tensor(pa.Tensor.from_numpy(np.ones((2, 2))), tensor)
    for message in (batch.serialize().to_pybytes(), tensor.getvalue().to_pybytes()):
        with pytest.raises(InvalidRequest, match="malformed"):
            rows_of(message + END)


def test_a_message_that_is_no_batch_is_refused() -> None:
    body = stream({"id": ["a"], "vector": VECTORS})
    schema = pa.record_batch({"id": ["a"], "vector": VECTORS}).schema.serialize().to_pybytes()
    assert body.startswith(schema)
    with pytest.raises(InvalidRequest, match="malformed"):
        rows_of(schema + body)


def test_offsets_that_leave_their_buffer_are_refused() -> None:
    body = stream({"id": ["abcdefgh", "b"], "vector": pa.array([[1.0, 2.0], [3.0, 4.0]])})
    offsets = struct.pack("<3i", 0, 8, 9)
    assert body.count(offsets) == 1
    for wrong in ((0, 1 << 30, 9), (0, -5, 9), (0, 8, 1 << 30), (-8, 8, 9), (0, 9, 8)):
        with pytest.raises(InvalidRequest):
            rows_of(body.replace(offsets, struct.pack("<3i", *wrong)))


def test_any_changed_byte_is_refused_or_read_but_never_crashes() -> None:
    payload = pa.StructArray.from_arrays([pa.array([1]), pa.array([["z"]])], ["n", "l"])
    body = stream({"id": ["a"], "vector": VECTORS, "payload": payload, "text": ["t"]})
    for at in range(len(body)):
        for change in (1, 0x80, 0xFF):
            changed = bytearray(body)
            changed[at] ^= change
            try:
                rows_of(bytes(changed))
            except InvalidRequest:
                continue


def test_a_payload_with_a_key_twice_has_its_last_value() -> None:
    document = b'{"content": "a", "content": "b", "x": {"y": 1, "y": 2}}'
    rows = rows_of(stream({"id": ["a"], "vector": VECTORS, "payload": [document]}))
    assert (rows.payloads, rows.texts) == ([b'{"content":"b","x":{"y":2}}'], ["b"])


def test_vectors_of_different_lengths_keep_their_numbers() -> None:
    vectors = pa.array([[], [1.0], [2.0, 3.0], []], pa.list_(pa.float64()))
    rows = rows_of(stream({"id": list("abcd"), "vector": vectors}))
    assert [vector.tolist() for vector in rows.vectors] == [[], [1], [2, 3], []]
