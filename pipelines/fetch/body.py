"""Collects a response's body, decompressed as it comes, and never more of it than its limit."""

import zlib

from pipelines.fetch.page import FetchError, FetchFailure

ACCEPT_ENCODING = "gzip, deflate"
"""What can be decompressed step by step into a bounded buffer."""

_GZIP = 16 + zlib.MAX_WBITS
# As much is decompressed at a time: a limit is noticed early, and the event loop is not held up.
_STEP_BYTES = 2**18
# Each costs far more time than its bytes would say.
_MAX_MEMBERS = 1000


class TooLarge(Exception):
    """There is more than the limit."""


class Body:
    """A body that grows.

    Args:
        encoding: The response's ``Content-Encoding``.
        max_bytes: Limit of what arrives, and of what it decompresses to.

    Raises:
        FetchError: The encoding is none that was asked for.
    """

    def __init__(self, encoding: str, max_bytes: int) -> None:
        self._compression = encoding.strip().lower()
        if self._compression not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise _broken("The server sends the page compressed in a way that was not asked for.")
        self._max_bytes = max_bytes
        self._arrived_bytes = 0
        self._collected = bytearray()
        self._inflater: zlib._Decompress | None = None
        self._members = 0

    @property
    def collected(self) -> bytes:
        """What there is until now, at most the limit."""
        return bytes(memoryview(self._collected)[: self._max_bytes])

    def feed(self, data: bytes) -> None:
        """Take what arrived.

        Raises:
            TooLarge: That is more than the limit.
            FetchError: It does not decompress.
        """
        self._arrived_bytes += len(data)
        if self._compression in ("", "identity"):
            self._collect(data)
        else:
            self._inflate(data)
        # Compressed nothing, again and again, would arrive for ever.
        if self._arrived_bytes > self._max_bytes:
            raise TooLarge

    def finish(self) -> bytes:
        """The whole body, when nothing more comes.

        Raises:
            FetchError: It ended in the middle.
        """
        if self._inflater is not None and not self._inflater.eof:
            raise _broken("The page was cut off on its way.")
        return self.collected

    def _inflate(self, data: bytes) -> None:
        more = bool(data)
        while more:
            if self._inflater is None or (self._inflater.eof and data):
                self._inflater = self._next_member(data)
            try:
                inflated = self._inflater.decompress(data, _STEP_BYTES)
            except zlib.error:
                raise _damaged() from None
            self._collect(inflated)
            data = self._inflater.unconsumed_tail or self._inflater.unused_data
            # After a full step there may be more to come of what has been taken in.
            more = bool(data) or len(inflated) == _STEP_BYTES

    def _next_member(self, data: bytes) -> "zlib._Decompress":
        """For one of the compressed streams that a body is joined of; nearly always there is but one."""
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise _damaged()
        return zlib.decompressobj(self._window_bits(data))

    def _window_bits(self, data: bytes) -> int:
        if self._compression != "deflate":
            return _GZIP
        # RFC 9110 wants zlib's header here; many servers leave it out. Its first half byte is 8.
        return zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS

    def _collect(self, data: bytes) -> None:
        self._collected += data
        if len(self._collected) > self._max_bytes:
            raise TooLarge


def _damaged() -> FetchError:
    return _broken("The page does not decompress: its server sends it damaged.")


def _broken(sentence: str) -> FetchError:
    return FetchError.of(FetchFailure.BAD_RESPONSE, sentence)
