"""Bounds how many streams one user may have open at a gateway: each costs memory for as long as it likes."""

from collections import Counter
from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

from serve.auth import Principal
from vectoray.core.errors import RateLimited

T = TypeVar("T")


class OpenStreams:
    """Counts the streams that are open, by user."""

    def __init__(self, most_per_user: int) -> None:
        self._most = most_per_user
        self._open: Counter[str] = Counter()

    def hold(self, caller: Principal, items: AsyncGenerator[T, None]) -> "HeldStream[T]":
        """``items``, counted as one of the caller's streams until it ends or is closed.

        Raises:
            RateLimited: They have as many open as they may.
        """
        if self._open[caller.user] >= self._most:
            raise RateLimited(
                f"There are {self._most} streams open already, which is as many as one user may have; "
                "close one of them.",
                {"limit": self._most},
            )
        self._open[caller.user] += 1
        return HeldStream(self, caller.user, items)

    def release(self, user: str) -> None:
        """One of the user's streams has ended."""
        self._open[user] -= 1
        if not self._open[user]:
            del self._open[user]


class HeldStream(Generic[T]):
    """A stream that is counted. Whoever has it iterates to its end, or closes it."""

    def __init__(self, streams: OpenStreams, user: str, items: AsyncGenerator[T, None]) -> None:
        self._streams: OpenStreams | None = streams
        self._user = user
        self._items = items

    def __aiter__(self) -> "HeldStream[T]":
        return self

    async def __anext__(self) -> T:
        try:
            return await self._items.__anext__()
        except BaseException:
            self._release()
            raise

    async def aclose(self) -> None:
        """End the stream, wherever it is."""
        self._release()
        await self._items.aclose()

    def _release(self) -> None:
        if self._streams is not None:
            self._streams.release(self._user)
            self._streams = None
