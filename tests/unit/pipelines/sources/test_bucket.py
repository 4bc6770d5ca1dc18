"""Documents in a bucket: on a file system of Arrow, and on ``moto_server``, if it is on the PATH."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from pipelines.parse import ParseError
from pipelines.sources import BucketFolder, ObjectDocument, Skipped, Unread
from vectoray.core.errors import InvalidRequest

LIMIT = 100
FILES = {"b.md": b"b", "a/z.txt": b"z", "a/b/c d.html": b"c", ".hidden/x.md": b"x", "a/data.bin": b"x"}
_SERVER = shutil.which("moto_server")


def listed(place: str) -> list[ObjectDocument | Unread]:
    return list(BucketFolder(place, max_file_bytes=LIMIT))


def read(found: list[ObjectDocument | Unread]) -> dict[str, bytes]:
    return {one.source: one.read(max_bytes=LIMIT) for one in found if isinstance(one, ObjectDocument)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_objects_are_listed_in_order_of_their_names_and_read(folder: Path) -> None:
    found = listed(folder.as_uri())
    assert list(read(found).items()) == [("a/b/c d.html", b"c"), ("a/z.txt", b"z"), ("b.md", b"b")]
    assert [one.source for one in found if isinstance(one, Skipped)] == ["a/data.bin"]


def test_large_objects_are_refused_when_listed_and_when_they_grew(folder: Path) -> None:
    (document,) = [one for one in listed(folder.as_uri()) if one.source == "b.md"]
    assert isinstance(document, ObjectDocument)
    (folder / "b.md").write_bytes(b"x" * 101)
    with pytest.raises(ParseError, match="Too large"):
        document.read(max_bytes=LIMIT)
    assert Unread("b.md", "Too large: 101 bytes, at most 100 are read.") in listed(folder.as_uri())


def test_an_object_that_is_gone_is_refused_without_its_place(folder: Path) -> None:
    document = listed(folder.as_uri())[0]
    assert isinstance(document, ObjectDocument)
    os.unlink(folder / document.source)  # noqa: PTH108
    with pytest.raises(InvalidRequest) as refused:
        document.read(max_bytes=LIMIT)
    assert str(folder) not in refused.value.message


def test_what_is_no_folder_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidRequest, match="nothing at that place"):
        listed((folder / "nowhere").as_uri())
    with pytest.raises(InvalidRequest, match="name the folder"):
        listed((folder / "b.md").as_uri())


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a server with the bucket ``docs``, which has `FILES` below ``in/``."""
    log = tmp_path_factory.mktemp("server") / "log"
    command = [str(_SERVER), "-H", "127.0.0.1", "-p", "0"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            deadline_s = time.monotonic() + 60
            while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
            contents = {"": b""} | {f"/in/{quote(name)}": content for name, content in FILES.items()}
            for path, content in contents.items():
                address = f"http://127.0.0.1:{found[1]}/docs{path}"
                # Without a type it would be a form.
                headers = {"Content-Type": "application/octet-stream"}
                with urlopen(Request(address, data=content, headers=headers, method="PUT")):
                    pass
            yield int(found[1])
        finally:
            server.kill()


@pytest.mark.slow
@pytest.mark.skipif(_SERVER is None, reason="moto_server is not on the PATH")
def test_a_bucket_is_listed_and_read_and_its_credentials_are_never_shown(port: int) -> None:
    server = quote(f"127.0.0.1:{port}", safe="")
    query = f"scheme=http&region=us-east-1&endpoint_override={server}"
    found = listed(f"s3://someone:hunter2@docs/in?{query}")
    assert list(read(found).items()) == [("a/b/c d.html", b"c"), ("a/z.txt", b"z"), ("b.md", b"b")]
    assert isinstance(found[0], ObjectDocument)
    assert found[0].uri == "s3://docs/in/a/b/c%20d.html"
    assert "hunter2" not in repr(found)
    with pytest.raises(InvalidRequest, match="nothing at that place"):
        listed(f"s3://someone:hunter2@docs/elsewhere?{query}")
