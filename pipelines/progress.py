"""Tells another process how far a run is: a small JSON file, replaced as a whole twice a second."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import orjson
import structlog

_log = structlog.get_logger(__name__)
_INTERVAL_S = 0.5


@contextmanager
def told(path: Path | None, read: Callable[[], Mapping[str, int]]) -> Iterator[None]:
    """Inside the ``with`` block, and once more at its end, write counts into a file.

    Args:
        path: The file; None for nobody who wants to know.
        read: The counts. What it raises is logged once: a run does not depend on who watches it.
    """
    if path is None:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_tell, args=(path, read, ended), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _tell(path: Path, read: Callable[[], Mapping[str, int]], ended: threading.Event) -> None:
    aside = path.with_name(f"{path.name}.new")
    try:
        is_last = False
        while not is_last:
            is_last = ended.wait(_INTERVAL_S)
            aside.write_bytes(orjson.dumps(dict(read())))
            aside.replace(path)
    except Exception as error:  # noqa: BLE001  (whatever it is, the run goes on)
        _log.warning("progress_is_not_told", kind=type(error).__name__)
