"""A web site whose every page comes after a while: what fetching is measured against.

``python -m scripts.bench.ingest.slow_site DELAY_S`` serves on a free port of this machine, which it prints.
"""

import asyncio
import sys

_PAGE = (
    b"<!doctype html><title>A page</title>" + b"<p>Words of a page that is neither short nor long.</p>" * 100
)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(_PAGE), _PAGE)
_NO_RULES = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


async def _serve(delay_s: float) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET /robots.txt "):
                    writer.write(_NO_RULES)
                else:
                    await asyncio.sleep(delay_s)
                    writer.write(_ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
