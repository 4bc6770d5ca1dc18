"""A driver of pipelines: joins the Ray of a running server, and keeps Ray Data quiet where nobody watches."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster import ray_environment
from cluster.server_file import ServerFile
from cluster.settings import ClusterSettings


@contextmanager
def joined(server: ServerFile) -> Iterator[None]:
    """Be a driver of a server's Ray; one that this process has joined already is left as it is."""
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield
        return
    several_nodes = ClusterSettings.model_validate(server.settings["cluster"]).pin_shard_hosts
    ray_environment.apply(Path(server.ray_token_path), several_nodes=several_nodes)
    # Ray's C++ parts would print warnings of their own between the progress bars.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # Ray reads its environment when it is imported.
    from cluster import runtime  # noqa: PLC0415

    with silent_stderr():
        # It would announce the level just set.
        runtime.join(server)
    try:
        yield
    finally:
        runtime.leave()


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Send what C++ code writes to stderr nowhere; Python's exceptions pass."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def show_progress_on_terminals_only(context: Any) -> None:
    """Ray Data draws progress bars on a terminal; elsewhere it would write them as dozens of log lines.

    Args:
        context: The `ray.data.DataContext` of the datasets that are made afterwards.
    """
    on_terminal = sys.stderr.isatty()
    context.enable_progress_bars = on_terminal
    context.enable_operator_progress_bars = on_terminal
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING if on_terminal else logging.ERROR)
