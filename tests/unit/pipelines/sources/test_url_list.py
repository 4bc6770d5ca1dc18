"""Lists of URLs in a file."""

from pathlib import Path

import pytest

from pipelines.sources import Unread, UrlList, WebDocument
from vectoray.core.errors import InvalidRequest


def listed(tmp_path: Path, text: str) -> list[WebDocument | Unread]:
    (tmp_path / "urls.txt").write_text(text)
    return list(UrlList(tmp_path / "urls.txt"))


def test_each_url_is_listed_once_in_order_without_comments(tmp_path: Path) -> None:
    text = "\ufeff# pages\n\nhttps://b.example/x?q=1\n  http://a.example  \nhttps://b.example/x?q=1#part\n"
    assert listed(tmp_path, text) == [
        WebDocument("https://b.example/x?q=1"),
        WebDocument("http://a.example/"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("file:///etc/passwd", "must begin with"),
        ("example.com/page", "must begin with"),
        ("http:///", "has no valid host"),
        ("http://[::1", "is not a URL"),
        ("http://a.example/a b", "has a space"),
        ("https://me:hunter2@a.example/", "holds a user name or password"),
        ("https://a.example/" + "x" * 5000, "at most 2048 are allowed"),
    ],
)
def test_what_is_no_url_is_told_by_its_line_and_never_repeated(
    tmp_path: Path, line: str, reason: str
) -> None:
    first, refused, last = listed(tmp_path, f"http://a.example/1\n{line}\nhttp://a.example/2\n")
    assert (first, last) == (WebDocument("http://a.example/1"), WebDocument("http://a.example/2"))
    assert isinstance(refused, Unread)
    assert refused.source == "urls.txt, line 2"
    assert reason in refused.reason
    assert line not in refused.reason


def test_a_list_that_is_not_there_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"'urls\.txt' cannot be read: No such file"):
        list(UrlList(tmp_path / "urls.txt"))
