"""Reads documents in processes of their own, with limits of time and memory: none can harm the caller."""

import threading
from types import TracebackType
from typing import Self

from pipelines.parse.child_process import ChildProcess, End
from pipelines.parse.document import MediaType, ParsedDocument, ParseError
from pipelines.parse.frames import Answer, Failure, Refusal
from pipelines.parse.settings import ParseSettings
from vectoray.core.errors import InternalError

# What libraries leave behind in memory ends with the process.
_DOCUMENTS_PER_PROCESS = 1000
_CANCEL_POLL_S = 0.02
_NOT_STARTED = "The process that reads documents does not start."


class ParseCancelled(Exception):
    """Nobody waits for the document any more: its call was cancelled, or the parser closed."""


class IsolatedParser:
    """Up to ``settings.processes`` of them, started when needed and used again. All methods from any thread.

    A process that dies, or does not answer in time, is replaced; its document has failed. The processes end
    with this one, however it ends.

    Args:
        settings: What a document may cost.
        max_file_bytes: Larger files are refused.
    """

    def __init__(self, settings: ParseSettings, *, max_file_bytes: int) -> None:
        self._settings = settings
        self._max_file_bytes = max_file_bytes
        self._turns = threading.Semaphore(settings.processes)
        self._lock = threading.Lock()
        self._idle: list[ChildProcess] = []
        self._busy: set[ChildProcess] = set()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def parse(
        self, data: bytes, *, media_type: MediaType, cancel: threading.Event | None = None
    ) -> ParsedDocument:
        """Read a file, as `pipelines.parse.parse` does; waits for a process that is free.

        Args:
            data: The whole file.
            media_type: What kind of file it is.
            cancel: Ends the call, and the process that works on it, within a moment after it is set.

        Raises:
            ParseError: The file cannot be read, or costs more than it may. The message is for its sender.
            ParseCancelled: ``cancel`` was set, or the parser closed.
            InternalError: No process can be started.
        """
        if len(data) > self._max_file_bytes:
            raise ParseError(
                f"The file has {len(data)} bytes, at most {self._max_file_bytes} are read; "
                "split it into parts."
            )
        self._wait_for_turn(cancel)
        try:
            return self._document(self._answer(data, media_type, cancel))
        finally:
            self._turns.release()

    def close(self) -> None:
        """End all processes; calls under way end with `ParseCancelled`. May be called again."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for child in self._busy:
                child.kill()
        for child in idle:
            child.close()

    def _wait_for_turn(self, cancel: threading.Event | None) -> None:
        # Those in turn are ended by `close`, and so the others get theirs.
        while not self._turns.acquire(timeout=None if cancel is None else _CANCEL_POLL_S):
            if cancel is not None and cancel.is_set():
                raise ParseCancelled

    def _answer(self, data: bytes, media_type: MediaType, cancel: threading.Event | None) -> Answer | End:
        while True:
            child = self._take(cancel)
            was_new = child.answered == 0
            answer: Answer | End = End.DIED
            try:
                answer = child.ask(data, media_type, timeout_s=self._settings.timeout_s, cancel=cancel)
            finally:
                self._give_back(child, is_well=not isinstance(answer, End | Failure))
            # What documents before it have left behind is not this one's fault.
            if was_new or answer not in (End.DIED, Failure.MEMORY) or self._closed:
                return answer

    def _take(self, cancel: threading.Event | None) -> ChildProcess:
        with self._lock:
            if self._closed:
                raise ParseCancelled
            try:
                child = self._idle.pop() if self._idle else ChildProcess(self._settings)
            except OSError:
                # The system's own words name its files.
                raise InternalError(_NOT_STARTED) from None
            self._busy.add(child)
        if child.answered == 0:
            end = child.wait_until_ready(cancel)
            if end is not None:
                self._give_back(child, is_well=False)
                if end is End.CANCELLED or self._closed:
                    raise ParseCancelled
                raise InternalError(_NOT_STARTED)
        return child

    def _give_back(self, child: ChildProcess, *, is_well: bool) -> None:
        with self._lock:
            self._busy.remove(child)
            if is_well and not self._closed and child.answered < _DOCUMENTS_PER_PROCESS:
                self._idle.append(child)
                return
        child.close()

    def _document(self, answer: Answer | End) -> ParsedDocument:
        if isinstance(answer, ParsedDocument):
            return answer
        if answer is End.CANCELLED or (answer is End.DIED and self._closed):
            raise ParseCancelled
        raise ParseError(self._reason(answer))

    def _reason(self, answer: Refusal | Failure | End) -> str:
        settings = self._settings
        match answer:
            case Refusal(message):
                return message
            case Failure.MEMORY:
                mebibytes = settings.max_memory_bytes // 2**20
                return f"The document needs more than {mebibytes} MiB of memory to read; split it."
            case End.LATE:
                return f"The document took longer than {settings.timeout_s:g} s to read; split it."
            case End.CPU:
                return f"The document took more than {settings.max_cpu_s} s of CPU time to read; split it."
            case _:
                return "The document cannot be read: it brought the parser down. Save it anew."
