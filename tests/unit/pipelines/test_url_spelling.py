"""Which URLs are refused, and which are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.url_spelling import MAX_URL_CHARS, normalise
from vectoray.core.errors import InvalidRequest

SAME = [
    ["http://example.com/", "http://example.com", "HTTP://EXAMPLE.com:80/#top", "http://example.com:/?"],
    [
        "https://example.com/a",
        "https://example.com:443/a?",
        "https://example.com/b/../a",
        "https://example.com/a#",
    ],
    ["http://example.com:443/", "http://EXAMPLE.com:443"],
    ["https://example.com/?a&b", "https://example.com/?b&a", "https://example.com?b=&a="],
    ["https://example.com/?a=1&b=2", "https://example.com/?a=1&b=2#x"],
    ["https://example.com/?b=2&a=1"],
    ["https://example.com/?b=2&a", "https://example.com?b=2&a"],
    ["http://xn--exmple-cua.com/", "http://exämple.com", "http://EXÄMPLE.com/"],
    ["http://example.com/%C3%A4%20x", "http://example.com/ä%20x"],
    ["http://example.com/~ann", "http://example.com/%7Eann"],
    ["http://example.com/A"],
    ["http://example.com/a/"],
    ["http://example.com/a%2Fb"],
    ["http://[::1]/", "http://[::1]:80"],
    ["http://example.com/?%C3%A4", "http://example.com/?ä"],
]


@pytest.mark.parametrize("spellings", SAME, ids=lambda spellings: spellings[0])
def test_what_differs_in_spelling_only_is_the_same(spellings: list[str]) -> None:
    assert {normalise(spelling, where="url") for spelling in spellings} == {spellings[0]}


REFUSED = [
    "",
    "example.com",
    "/a",
    "//example.com/a",
    "ftp://example.com/",
    "javascript:alert(1)",
    "http://",
    "http:///a",
    "http://:80/",
    "http://a b/",
    "http://example.com/a b",
    "http://example.com/\n",
    " http://example.com/",
    "http://example.com\\a",
    "http://example.com:99999/",
    "http://example.com:0/",
    "http://example.com:x/",
    "http://..",
    "http://-a.com",
    "http://%41/",
    "http://a@b.c/",
    "http://a:b@b.c/",
    "http://:b@b.c/",
    "http://[zz]/",
    "http://[::1/",
    f"http://{'a' * 254}/",
    "http://example.com/\ud800",
    "http://exa\0mple.com/",
    f"http://example.com/{'a' * (MAX_URL_CHARS - 18)}",
    f"http://example.com/{'ä' * (MAX_URL_CHARS // 3)}",
]


@pytest.mark.parametrize("told", REFUSED, ids=lambda told: ascii(told[:40]))
def test_what_cannot_be_fetched_is_refused_and_named(told: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^urls\[3\] .*\.$") as refusal:
        normalise(told, where="urls[3]")
    assert refusal.value.details == {"at": "urls[3]"}


def test_the_longest_url_is_taken() -> None:
    longest = f"http://example.com/{'a' * (MAX_URL_CHARS - 19)}"
    assert normalise(longest, where="url") == longest


@given(st.text(alphabet=st.sampled_from("abÄß./:@?&=#%[]-_~\\ 0\u0661")))
def test_normalising_twice_is_normalising_once(rest: str) -> None:
    try:
        once = normalise(f"http://{rest}", where="url")
    except InvalidRequest:
        return
    assert normalise(once, where="url") == once
    assert once.isascii()
    assert "#" not in once
