"""Emails: the spellings of one address are one, those of two are two, and none costs more than a glance."""

import subprocess
import sys

import pytest

from serve.service.emails import normalised_email

LONGEST = "a" * 242 + "@example.com"


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("ann@example.com", "ann@example.com"),
        ("ANN@Example.COM", "ann@example.com"),
        (" \t ann@example.com\n", "ann@example.com"),
        ("a.n.n+tag@example.com", "a.n.n+tag@example.com"),
        ("JOSE\u0301@example.com", "josé@example.com"),
        ("JOSÉ@example.com", "josé@example.com"),
        (f"  {LONGEST}  ", LONGEST),
    ],
)
def test_an_address_has_one_spelling(told: str, kept: str) -> None:
    assert normalised_email(told) == kept
    assert normalised_email(kept) == kept


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("groß@example.com", "gross@example.com"),
        ("ﬁn@example.com", "fin@example.com"),
        ("\u017fam@b.c", "sam@b.c"),
    ],
)
def test_letters_that_are_only_alike_are_two_peoples(one: str, other: str) -> None:
    assert normalised_email(one) != normalised_email(other)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "@",
        "ann",
        "@example.com",
        "ann@",
        "a@b@c",
        "a b@c.d",
        "a\0@c.d",
        "a\n@c.d",
        "a\u00a0b@c.d",
        "a\u200b@c.d",
        "a\u202e@c.d",
        "ann\uff20example.com",
        "a" + LONGEST,
        "İ" * 127 + "@b.c",
    ],
)
def test_what_is_no_address_has_none(email: str) -> None:
    assert normalised_email(email) is None


def test_a_very_long_text_is_refused_at_once() -> None:
    # In another process, since nothing ends what would take days in this one.
    program = (
        "from serve.service.emails import normalised_email\n"
        "assert normalised_email('a' + '\\u0301\\u0316' * 4_000_000 + '@b.c') is None"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
