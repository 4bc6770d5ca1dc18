"""Passwords: what is one, that nobody's costs as much as somebody's, and that a crowd is refused."""

import asyncio
import threading
from collections.abc import AsyncIterator
from unittest.mock import patch

import pytest

from serve.credentials.passwords import Passwords
from vectoray.core.errors import InvalidRequest, Overloaded

GOOD = "correct horse"


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    made = Passwords(threads=2, queue_length=1, memory_kib=64)
    yield made
    await made.close()


async def test_a_password_is_known_by_its_hash_alone(passwords: Passwords) -> None:
    known = await passwords.hash(GOOD)
    assert known.startswith("$argon2id$")
    assert GOOD not in known
    assert await passwords.check(GOOD, known)
    assert not await passwords.check("correct house", known)
    assert await passwords.hash(GOOD) != known


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
async def test_a_password_has_8_to_1024_characters(passwords: Passwords, password: str) -> None:
    with pytest.raises(InvalidRequest, match="8 to 1,024"):
        await passwords.hash(password)


@pytest.mark.parametrize("password", ["12345678", "ü" * 1024])
async def test_the_shortest_and_the_longest_password_work(passwords: Passwords, password: str) -> None:
    assert await passwords.check(password, await passwords.hash(password))


async def test_a_password_longer_than_the_longest_is_not_cut(passwords: Passwords) -> None:
    known = await passwords.hash("x" * 1024)
    assert not await passwords.check("x" * 1025, known)


async def test_whoever_has_no_password_costs_as_much_as_who_has_one(passwords: Passwords) -> None:
    known = await passwords.hash(GOOD)
    for stored in (known, None):
        with patch.object(passwords._hasher, "verify", wraps=passwords._hasher.verify) as verify:
            assert not await passwords.check("wrong", stored)
        [call] = verify.call_args_list
        parameters = [text.split("$")[1:4] for text in (call.args[1], known)]
        assert parameters[0] == parameters[1]


async def test_a_hash_takes_one_cpu(passwords: Passwords) -> None:
    assert (await passwords.hash(GOOD)).split("$")[3].endswith(",p=1")


async def test_every_character_counts(passwords: Passwords) -> None:
    known = await passwords.hash("correct\0horse")
    assert await passwords.check("correct\0horse", known)
    for other in ("correct\0house", "correct", "correct\0horse\0", "Correct\0horse", " correct\0horse"):
        assert not await passwords.check(other, known)


async def test_the_password_of_nobody_is_nobodys(passwords: Passwords) -> None:
    with patch.object(passwords, "_matches", return_value=True):
        assert not await passwords.check(GOOD, None)


async def test_a_hash_of_another_kind_is_not_matched(passwords: Passwords) -> None:
    assert not await passwords.check(GOOD, "plain")


async def test_a_hash_of_other_settings_is_renewed_and_one_of_these_is_not(passwords: Passwords) -> None:
    weaker = Passwords(threads=1, queue_length=0, memory_kib=32)
    known = await weaker.hash(GOOD)
    await weaker.close()
    assert await passwords.check(GOOD, known)
    renewed = await passwords.renewed(GOOD, known)
    assert renewed is not None
    assert "$m=64," in renewed
    assert await passwords.check(GOOD, renewed)
    assert await passwords.renewed(GOOD, renewed) is None
    with patch.object(passwords, "_pending", 3):
        assert await passwords.renewed(GOOD, known) is None


async def test_more_than_may_wait_are_refused_and_room_comes_back(passwords: Passwords) -> None:
    gate = threading.Event()

    def waiting(_password: str, _known: str) -> bool:
        return gate.wait(60)

    with patch.object(passwords, "_matches", waiting):
        checks = [asyncio.create_task(passwords.check(GOOD, "known")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await passwords.check(GOOD, "known")
        with pytest.raises(Overloaded):
            await passwords.hash(GOOD)
        gate.set()
        assert await asyncio.gather(*checks) == [True] * 3
    assert await passwords.hash(GOOD)
