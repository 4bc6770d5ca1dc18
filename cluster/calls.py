"""Calls to a shard host that travel together: how they are written down, and how a host answers them.

They are pickled, and go between processes of one cluster alone, behind Ray's token.
"""

import asyncio
import pickle
from collections.abc import Sequence
from typing import NamedTuple, cast

import structlog

from cluster.engine import ShardHost
from vectoray.core.errors import InternalError, ShardUnavailable, VectorayError

_log = structlog.get_logger(__name__)


class Call(NamedTuple):
    """One call.

    Attributes:
        method: A method of `cluster.engine.ShardHost`.
        within_s: Seconds after which nobody waits for the answer.
    """

    method: str
    arguments: tuple[object, ...]
    within_s: float


Answer = object | VectorayError
"""What the method returned, or the error that it raised."""


def encode_calls(calls: Sequence[Call]) -> bytes:
    """The calls as bytes, so that Ray looks at nothing in them."""
    return pickle.dumps(calls, protocol=pickle.HIGHEST_PROTOCOL)


def decode_answers(answers: bytes) -> Sequence[Answer]:
    """What `answer_calls` made."""
    return cast("Sequence[Answer]", pickle.loads(answers))  # noqa: S301  (of our own processes)


async def answer_calls(host: ShardHost, calls: bytes) -> bytes:
    """Answer what `encode_calls` made: all calls at once, each by itself."""
    answers = await asyncio.gather(*(_answer(host, call) for call in pickle.loads(calls)))  # noqa: S301
    return pickle.dumps(answers, protocol=pickle.HIGHEST_PROTOCOL)


async def _answer(host: ShardHost, call: Call) -> Answer:
    try:
        async with asyncio.timeout(call.within_s):
            return cast("Answer", await getattr(host, call.method)(*call.arguments))
    except VectorayError as error:
        return error
    except TimeoutError:
        return ShardUnavailable("A shard did not answer in time; try again.")
    except Exception:  # noqa: BLE001  (others in the batch are answered)
        _log.exception("shard_call_failed", method=call.method)
        return InternalError("A shard failed while answering.")
