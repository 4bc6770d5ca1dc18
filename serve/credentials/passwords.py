"""Hashes and checks passwords with Argon2id, a few at a time.

One hash takes tens of milliseconds and megabytes on purpose. Threads of their own keep that from whoever else
is served, and a bounded queue keeps a crowd of logins from taking the machine.
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

from vectoray.core.errors import InvalidRequest, Overloaded

_T = TypeVar("_T")

_MIN_CHARACTERS = 8
_MAX_CHARACTERS = 1024


class Passwords:
    """Hashing and checking, in `threads` threads."""

    def __init__(self, *, threads: int, queue_length: int, memory_kib: int = 65_536) -> None:
        """Nothing is hashed yet but a password that nobody has.

        Args:
            threads: How many hashes are made at a time.
            queue_length: How many more may wait.
            memory_kib: Memory of one hash, in KiB.
        """
        # One lane: with several, each hash takes as many CPUs, and `threads` bounds nothing.
        self._hasher = PasswordHash((Argon2Hasher(memory_cost=memory_kib, parallelism=1),))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._most = threads + queue_length
        self._pending = 0
        self._nobodys = self._hasher.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        """The Argon2id hash of a new password, with its salt and parameters.

        Raises:
            InvalidRequest: It is too short or too long.
            Overloaded: Too many wait already.
        """
        if not _MIN_CHARACTERS <= len(password) <= _MAX_CHARACTERS:
            raise InvalidRequest(
                f"The password must have {_MIN_CHARACTERS} to {_MAX_CHARACTERS:,} characters.",
                {"at": "password"},
            )
        return await self._in_thread(lambda: self._hasher.hash(password))

    async def check(self, password: str, known: str | None) -> bool:
        """Whether ``known`` is the hash of ``password``.

        Takes as long when it is None, so that the time does not tell who has an account.

        Raises:
            Overloaded: Too many wait already.
        """
        # Nobody's password is longer, and a longer one would take longer.
        fits = len(password) <= _MAX_CHARACTERS
        right = await self._in_thread(
            lambda: self._matches(password[:_MAX_CHARACTERS], self._nobodys if known is None else known)
        )
        return right and fits and known is not None

    async def renewed(self, password: str, known: str | None) -> str | None:
        """A new hash of ``password``, where ``known`` is right but was made with other settings than now's.

        None where it needs none, and where many wait: that is for another login.
        """
        hasher = self._hasher.current_hasher
        if known is None or not hasher.check_needs_rehash(known) or self._pending >= self._most:
            return None
        return await self._in_thread(lambda: hasher.hash(password))

    async def close(self) -> None:
        """End the threads, once what is running has ended."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    def _matches(self, password: str, known: str) -> bool:
        try:
            return self._hasher.verify(password, known)
        except UnknownHashError:
            return False

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        if self._pending >= self._most:
            raise Overloaded("Too many passwords are being checked; try again in a moment.")
        self._pending += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        # The caller may leave before a thread has taken it up; then it is taken back, or ends by itself.
        future.add_done_callback(lambda _: self._leave())
        return await future

    def _leave(self) -> None:
        self._pending -= 1
