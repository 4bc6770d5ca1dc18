"""Reading in processes with limits: nothing that a file does harms the process that wants it read."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from pipelines.parse import MediaType, ParsedDocument, ParseError, child, parse
from pipelines.parse.document import ParseLimits
from pipelines.parse.frames import LENGTH, Failure
from pipelines.parse.isolated import IsolatedParser, ParseCancelled
from pipelines.parse.settings import ParseSettings
from tests.unit.pipelines.parse.nasty import MIB, nasty_files, pdf_with_text, word_document
from vectoray.core.errors import InternalError

# Takes minutes, in one call into a C library.
ENDLESS = b"<div>" * MIB + b"text"
MARKDOWN = b"---\nlang: de\n---\n# Title\ntext\n\nmore\n## Part\nlast"


def parser_with(**settings: float) -> IsolatedParser:
    return IsolatedParser(ParseSettings.model_validate(settings), max_file_bytes=64 * MIB)


def processes() -> list[psutil.Process]:
    return [found for found in psutil.Process().children() if _parses(found)]


def _parses(process: psutil.Process) -> bool:
    try:
        return "pipelines.parse.child" in process.cmdline()
    except psutil.NoSuchProcess:
        # It has ended, and perhaps another test has not looked after it.
        return False


def process_at_work() -> psutil.Process:
    """The one that reads, once it is in the middle of it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for found in processes():
            if found.cpu_times().user > 0.5:
                return found
        time.sleep(0.01)
    pytest.fail("nothing is read")


def refusal(parser: IsolatedParser, data: bytes, media_type: MediaType) -> str:
    with pytest.raises(ParseError) as caught:
        parser.parse(data, media_type=media_type)
    return caught.value.message


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    assert processes() == []


@pytest.mark.slow
def test_every_nasty_file_is_refused_with_its_reason_and_the_next_file_is_read() -> None:
    with parser_with(max_cpu_s=2, max_memory_bytes=600 * MIB, max_unpacked_bytes=16 * MIB) as parser:
        for file in nasty_files():
            message = refusal(parser, file.data, file.media_type)
            assert re.search(file.reason, message), f"{file.name}: {message}"
            assert parser.parse(b"good", media_type=MediaType.TEXT).text == "good", file.name


def test_a_document_is_the_same_as_in_the_own_process() -> None:
    with parser_with() as parser:
        for data, kind in ((MARKDOWN, MediaType.MARKDOWN), (pdf_with_text(), MediaType.PDF)):
            read: ParsedDocument = parser.parse(data, media_type=kind)
            assert read == parse(data, media_type=kind)
        assert len(processes()) == 1
        assert refusal(parser, b"\0", MediaType.TEXT).startswith("The file is not text")


@pytest.mark.slow
def test_as_many_documents_as_there_are_processes_are_read_at_once() -> None:
    with parser_with(processes=2) as parser, ThreadPoolExecutor(8) as threads:
        texts = [f"text {at}" for at in range(100)]
        read = threads.map(lambda text: parser.parse(text.encode(), media_type=MediaType.TEXT).text, texts)
        assert list(read) == texts
        assert 1 <= len(processes()) <= 2


def test_a_file_that_is_too_large_is_refused_unread() -> None:
    with IsolatedParser(ParseSettings(), max_file_bytes=3) as parser:
        assert refusal(parser, b"text", MediaType.TEXT).startswith("The file has 4 bytes, at most 3 are read")
        assert processes() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "data", "media_type", "reason"),
    [
        ({"timeout_s": 0.3}, ENDLESS, MediaType.HTML, "The document took longer than 0.3 s to read;"),
        ({"max_cpu_s": 1}, ENDLESS, MediaType.HTML, "The document took more than 1 s of CPU time to read;"),
        (
            {"max_memory_bytes": 256 * MIB},
            b"[" + b"{}," * (8 * MIB) + b"1]",
            MediaType.JSON,
            "The document needs more than 256 MiB of memory to read;",
        ),
    ],
)
def test_a_document_beyond_a_limit_fails_and_says_which(
    limit: dict[str, float], data: bytes, media_type: MediaType, reason: str
) -> None:
    with parser_with(**limit) as parser:
        parser.parse(b"before", media_type=MediaType.TEXT)
        assert refusal(parser, data, media_type).startswith(reason)
        assert parser.parse(b"after", media_type=MediaType.TEXT).text == "after"


@pytest.mark.slow
def test_a_document_that_brings_the_process_down_fails() -> None:
    with parser_with() as parser, ThreadPoolExecutor(1) as thread:
        call = thread.submit(refusal, parser, ENDLESS, MediaType.HTML)
        process_at_work().send_signal(signal.SIGSEGV)
        assert "brought the parser down" in call.result()


TAKEN_OVER = """#!{python}
import json, socket, struct, sys
connection = socket.socket(fileno=json.loads(sys.argv[-1])["connection"])
connection.sendall(struct.pack(">Q", 5) + b"ready")
connection.recv(1)
connection.sendall({answer!r})
while connection.recv(4096):
    pass
"""


@pytest.mark.parametrize(
    "answer", [b"\xff" * 8, *(LENGTH.pack(len(text)) + text for text in (b"nonsense", b"5", b"{}", b"[]"))]
)
def test_a_process_that_answers_nonsense_is_ended_and_the_document_fails(
    answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(TAKEN_OVER.format(python=sys.executable, answer=answer))
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with parser_with(timeout_s=20) as parser:
        assert "brought the parser down" in refusal(parser, b"text", MediaType.TEXT)
        assert processes() == []


def test_a_machine_that_starts_no_process_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/secret/place")
    with parser_with() as parser, pytest.raises(InternalError) as caught:
        parser.parse(b"text", media_type=MediaType.TEXT)
    assert "secret" not in str(caught.value)


def test_a_process_that_died_between_two_documents_is_replaced() -> None:
    with parser_with() as parser:
        parser.parse(b"before", media_type=MediaType.TEXT)
        (process,) = processes()
        process.kill()
        assert parser.parse(b"after", media_type=MediaType.TEXT).text == "after"


@pytest.mark.slow
def test_a_cancelled_call_ends_at_once_and_so_does_the_process() -> None:
    cancel = threading.Event()
    with parser_with() as parser, ThreadPoolExecutor(2) as threads:
        working = threads.submit(parser.parse, ENDLESS, media_type=MediaType.HTML, cancel=cancel)
        process_at_work()
        waiting = threads.submit(parser.parse, b"text", media_type=MediaType.TEXT, cancel=cancel)
        cancel.set()
        cancelled = time.monotonic()
        for call in (working, waiting):
            with pytest.raises(ParseCancelled):
                call.result()
        # A tenth of that on a machine with nothing else to do.
        assert time.monotonic() - cancelled < 1
        assert processes() == []
        assert parser.parse(b"after", media_type=MediaType.TEXT).text == "after"


@pytest.mark.slow
def test_closing_ends_calls_and_refuses_new_ones() -> None:
    with parser_with() as parser, ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(parser.parse, ENDLESS, media_type=MediaType.HTML) for _ in range(2)]
        process_at_work()
        parser.close()
        for call in calls:
            with pytest.raises(ParseCancelled):
                call.result()
        with pytest.raises(ParseCancelled):
            parser.parse(b"text", media_type=MediaType.TEXT)


@pytest.mark.slow
def test_no_process_outlives_the_one_that_started_it() -> None:
    program = (
        "from tests.unit.pipelines.parse.test_isolated import *\n"
        "parser_with().parse(ENDLESS, media_type=MediaType.HTML)"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        try:
            watched = psutil.Process(parent.pid)
            deadline = time.monotonic() + 60
            while not any(found.cpu_times().user > 0.5 for found in watched.children()):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            orphans = watched.children()
        finally:
            parent.kill()
    _, left = psutil.wait_procs(orphans, timeout=5)
    assert left == []


def test_the_process_does_not_get_the_secrets_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECTORAY_TEST_SECRET", "secret")
    with parser_with() as parser:
        parser.parse(b"text", media_type=MediaType.TEXT)
        (process,) = processes()
        assert "VECTORAY_TEST_SECRET" in os.environ
        assert "VECTORAY_TEST_SECRET" not in process.environ()


def test_what_a_parser_does_not_foresee_is_a_failure_of_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("/srv/secret")

    monkeypatch.setattr(child, "parse", fail)
    assert child._parse(b"text", MediaType.TEXT, ParseLimits()) is Failure.FAULT


@pytest.mark.slow
def test_word_documents_are_read_within_the_least_memory_that_may_be_set() -> None:
    with parser_with(max_memory_bytes=256 * MIB) as parser:
        assert parser.parse(word_document(), media_type=MediaType.DOCX).text == "text"
        assert parser.parse(pdf_with_text(), media_type=MediaType.PDF).text == "text"
