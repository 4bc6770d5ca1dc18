"""Searches a usearch index over HTTP with nothing around it: an ASGI callable, no framework.

Runs in an environment of its own, which has none of this project's packages. The index is built like a
segment's: bf16, M 16, 200 candidates while building, 64 while searching.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from usearch.index import Index

_Message = dict[str, Any]


def _load(folder: Path) -> tuple[Index, list[bytes], list[bytes]]:
    vectors = np.load(folder / "vectors.npy")
    index = Index(
        ndim=vectors.shape[1],
        metric="cos",
        dtype="bf16",
        connectivity=16,
        expansion_add=200,
        expansion_search=64,
    )
    # Entered by several threads, some vectors may not be found again.
    index.add(np.arange(len(vectors)), vectors, threads=1)
    ids, payloads = [], []
    for line in (folder / "points.jsonl").read_bytes().splitlines():
        point = orjson.loads(line)
        ids.append(orjson.dumps(point["id"]))
        payloads.append(orjson.dumps(point["payload"]))
    return index, ids, payloads


_index, _ids, _payloads = _load(Path(os.environ["BARE_DATA"]))


async def app(
    _scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[_Message]],
    send: Callable[[_Message], Awaitable[None]],
) -> None:
    """Answer a search."""
    message = await receive()
    body = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    question = orjson.loads(body)
    found = _index.search(np.array(question["vector"], dtype=np.float32), question["top_k"])
    hits = [
        b'{"id":%b,"score":%.7f,"payload":%b}' % (_ids[row], 1 - distance, _payloads[row])
        for row, distance in zip(found.keys.tolist(), found.distances.tolist(), strict=True)
    ]
    answer = b'{"results":[' + b",".join(hits) + b"]}"
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
