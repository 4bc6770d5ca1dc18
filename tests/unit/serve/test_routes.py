"""The table of routes, compared with Starlette's own matching."""

import pytest
from starlette.routing import Match, Route

from serve.routes import RouteTable

PATHS = [
    "/health",
    "/collections",
    "/collections/{name}",
    "/collections/{name}/vectors",
    "/collections/{name}/vectors/{vector:path}",
    "/collections/{name}/search",
    "/other/{one}/{two}",
    "/things:count",
    "/things/{thing}:again",
    "/things/{thing}:again/{part}",
    "/things/{thing}",
    "/things/{thing}/parts:batch",
    "/things/{thing}/parts",
]
TABLE = RouteTable(("GET", path, path) for path in PATHS)


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/health/",
        "health",
        "",
        "/",
        "//health",
        "/collections",
        "/collections/",
        "/collections/a",
        "/collections/a b",
        "/collections/a/",
        "/collections/a/vectors",
        "/collections/a/vectors/",
        "/collections/a/vectors/x",
        "/collections/a/vectors/x/y//z/",
        "/collections/../vectors",
        "/collections//vectors",
        "/collections/a/b/search",
        "/collections/search/search",
        "/other/1/2",
        "/other/1",
        "/nothing",
        "/things:count",
        "/things:other",
        "/things",
        "/things/a",
        "/things/a:again",
        "/things/a:b:again",
        "/things/:again",
        "/things/a:again:again",
        "/things/a:againx",
        "/things/a:again/x",
        "/things/a/parts",
        "/things/a/parts:batch",
        "/things/a:again/parts",
        "/things/a/parts:other",
    ],
)
def test_a_path_has_the_handler_and_values_that_starlette_finds(path: str) -> None:
    async def endpoint() -> None: ...

    expected = None
    for declared in PATHS:
        match, child = Route(declared, endpoint).matches(
            {"type": "http", "method": "GET", "path": path, "root_path": ""}
        )
        if match is Match.FULL:
            expected = (declared, child["path_params"])
            break
    assert TABLE.find("GET", path) == expected


def test_another_method_finds_nothing() -> None:
    assert TABLE.find("POST", "/health") is None


def test_a_segment_written_out_beats_a_name_that_was_declared_before() -> None:
    table = RouteTable([("GET", "/a/{x}", "named"), ("GET", "/a/b", "written"), ("POST", "/a/{x}", "post")])
    assert table.find("GET", "/a/b") == ("written", {})
    assert table.find("POST", "/a/b") == ("post", {"x": "b"})
    assert table.find("GET", "/a/c") == ("named", {"x": "c"})


def test_a_verb_beats_a_name_that_was_declared_before() -> None:
    table = RouteTable(
        [("GET", "/a/{x}", "named"), ("POST", "/a/{x}:go", "verb"), ("POST", "/a/b:go", "written")]
    )
    assert table.find("POST", "/a/c:go") == ("verb", {"x": "c"})
    assert table.find("POST", "/a/b:go") == ("written", {})
    assert table.find("GET", "/a/c:go") == ("named", {"x": "c:go"})


def test_a_way_that_ends_nowhere_is_left_again() -> None:
    table = RouteTable([("GET", "/a/b/c", 1), ("GET", "/a/{x}/d", 2), ("GET", "/a/{rest:path}", 3)])
    assert table.find("GET", "/a/b/d") == (2, {"x": "b"})
    assert table.find("GET", "/a/b/e") == (3, {"rest": "b/e"})
