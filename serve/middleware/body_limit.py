"""Refuses request bodies above a limit, announced or counted while they arrive."""

from starlette.types import Message, Receive

from vectoray.core.errors import BodyTooLarge


def check_announced(length: str, *, limit_bytes: int) -> None:
    """Let a body of the Content-Length ``length`` pass.

    Raises:
        BodyTooLarge: It is above the limit.
    """
    if length.isdecimal() and int(length[:20]) > limit_bytes:
        raise BodyTooLarge.of(limit_bytes=limit_bytes)


def counted(receive: Receive, *, limit_bytes: int) -> Receive:
    """``receive``, which raises `BodyTooLarge` to whoever reads more than the limit of a body."""
    received_bytes = 0

    async def receive_counted() -> Message:
        nonlocal received_bytes
        message = await receive()
        received_bytes += len(message.get("body", b""))
        if received_bytes > limit_bytes:
            raise BodyTooLarge.of(limit_bytes=limit_bytes)
        return message

    return receive_counted
