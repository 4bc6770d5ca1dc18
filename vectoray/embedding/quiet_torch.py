"""Silences what transformers prints while it loads a model that is known to be right."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import transformers


@contextmanager
def quiet_torch() -> Iterator[None]:
    """No progress bars and no log lines under errors. Not for several threads at once."""
    log: Any = transformers.utils.logging
    verbosity = log.get_verbosity()
    progress = log.is_progress_bar_enabled()
    log.set_verbosity(logging.ERROR)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if progress:
            log.enable_progress_bar()
