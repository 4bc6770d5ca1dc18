"""A small web site on this machine, which remembers what it was asked."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROBOTS = "User-agent: *\nDisallow: /private/\n"


class Site:
    """Pages by their paths.

    Attributes:
        asked: Paths in the order asked, with the status that was answered.
    """

    def __init__(self, pages: dict[str, str]) -> None:
        self.pages = {"/robots.txt": ROBOTS, **pages}
        self.asked: list[tuple[str, int]] = []
        self.port = 0

    def url(self, path: str) -> str:
        """Of one of its pages."""
        return f"http://127.0.0.1:{self.port}{path}"

    def answer(self, path: str, known: str | None) -> tuple[int, str]:
        """The status, and the page."""
        page = self.pages.get(path)
        status = 404 if page is None else 304 if known == _etag(page) else 200
        self.asked.append((path, status))
        return status, page or ""


def _etag(page: str) -> str:
    return f'"{len(page)}"'


@contextmanager
def serving(site: Site) -> Iterator[None]:
    """Serve the site while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, page = site.answer(self.path, self.headers.get("If-None-Match"))
            body = page.encode() if status == 200 else b""
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if self.path == "/robots.txt" else "text/html")
            self.send_header("Content-Length", str(len(body)))
            if status != 404:
                self.send_header("ETag", _etag(page))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
