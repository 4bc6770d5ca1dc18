"""A web site on this machine that answers as a test says, also against all rules of HTTP."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, header names in small letters."""

    target: str
    headers: dict[str, str]


Answering = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def response(body: bytes = b"", status: int = 200, **headers: str) -> bytes:
    """A whole response; ``Content_Type`` is the header Content-Type."""
    lines = [f"HTTP/1.1 {status} Whatever", "Connection: close"]
    if "Content_Length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def page(text: str = "<!doctype html><p>A page.", **headers: str) -> bytes:
    """A response with an HTML page."""
    return response(text.encode(), 200, Content_Type="text/html", **headers)


def redirect(location: str, status: int = 302) -> bytes:
    """A response that leads elsewhere."""
    return response(status=status, Location=location)


class Site:
    """A server; what is not among its answers is a 404.

    Attributes:
        answers: By target: bytes, several of which are given one after the other and the last again and
            again, or a function that writes what it likes.
        requests: What was asked, in order.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, bytes | list[bytes] | Answering] = {}
        self.requests: list[Request] = []
        self.host = host
        self.port = port
        self._tls = tls
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, target: str, host: str | None = None) -> str:
        """The URL of a target, at another name if one is told."""
        return f"{'https' if self._tls else 'http'}://{host or self.host}:{self.port}{target}"

    def targets(self) -> list[str]:
        """What was asked for, without robots.txt."""
        return [request.target for request in self.requests if request.target != "/robots.txt"]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The client has had enough, as it should.
        except asyncio.CancelledError:
            pass  # The test is over.
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        request = Request(head[0].split(" ")[1], {name.lower(): value for name, value in headers.items()})
        self.requests.append(request)
        answer = self.answers.get(request.target, response(b"Not here.", 404))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, bytes):
            writer.write(answer)
        else:
            await answer(request, writer)
        await writer.drain()
