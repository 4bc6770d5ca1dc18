"""The text of an API key, and that its secret is not shown."""

from uuid import uuid4

import pytest

from serve.credentials.key_secret import KeySecret

ID = str(uuid4())


def test_a_key_is_read_from_its_text() -> None:
    made = KeySecret.make(ID)
    assert made.text.startswith(f"vy_{ID.replace('-', '')}_")
    read = KeySecret.parse(made.text)
    assert read == made
    assert read.matches(made.digest)
    assert len(made.digest) == 32


def test_another_secret_does_not_match() -> None:
    assert not KeySecret.make(ID).matches(KeySecret.make(ID).digest)


def test_a_secret_is_not_shown() -> None:
    made = KeySecret.make(ID)
    assert made.secret not in repr(made)


GOOD = KeySecret.make(ID).text


@pytest.mark.parametrize(
    "text",
    ["", "vy_", GOOD[1:], GOOD[:-1], f"{GOOD}x", f"{GOOD}\n", GOOD.upper(), GOOD.replace("vy_", "vx_")],
    ids=["empty", "prefix", "cut before", "cut", "longer", "line", "upper case", "another prefix"],
)
def test_what_no_key_looks_like_is_none(text: str) -> None:
    assert KeySecret.parse(text) is None
