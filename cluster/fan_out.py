"""Several calls at once, all answered or one error: never part of an answer, nothing left running."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def fan_out(calls: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Await all calls and return their results in order.

    Raises:
        BaseException: The first call's error that failed, once every call has ended.
    """
    waiting = list(calls)
    if len(waiting) == 1:
        return [await waiting[0]]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
