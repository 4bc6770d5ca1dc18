"""Who is answered in gzip."""

import pytest

from serve.middleware.compression import takes_gzip


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip; q=0.001", True),
        ("*;q=0, gzip", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("*, gzip;q=0", False),
        ("gzipped", False),
    ],
)
def test_gzip_is_for_those_who_name_it_and_do_not_refuse_it(header: str, *, taken: bool) -> None:
    assert takes_gzip(header) is taken
