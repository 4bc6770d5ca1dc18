"""Calls to a deployment that Ray gives up."""

import asyncio
import warnings
from types import SimpleNamespace

import pytest

from vectoray.core.errors import ShardUnavailable

with warnings.catch_warnings():
    # Ray's own use of pydantic is not ours to mend.
    warnings.simplefilter("ignore")
    from cluster.remote import RemoteDeployment


class Response:
    """What a call answers with: it waits, or is given up by Ray."""

    def __init__(self, *, is_given_up: bool) -> None:
        self._is_given_up = is_given_up
        self.entered = asyncio.Event()

    async def remote(self) -> None:
        self.entered.set()
        if self._is_given_up:
            raise asyncio.CancelledError
        await asyncio.Event().wait()


def deployment_with(response: Response, *, timeout_s: float = 10) -> RemoteDeployment:
    remote = RemoteDeployment("host", timeout_s=timeout_s)
    remote._methods["answer"] = SimpleNamespace(remote=response.remote)
    return remote


async def test_a_call_that_the_other_side_gives_up_does_not_cancel_the_caller() -> None:
    with pytest.raises(ShardUnavailable, match="restarting"):
        await deployment_with(Response(is_given_up=True)).call("answer")


async def test_a_caller_that_is_cancelled_is_cancelled() -> None:
    response = Response(is_given_up=False)
    task = asyncio.create_task(deployment_with(response).call("answer"))
    await response.entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_without_an_answer_in_time_fails() -> None:
    with pytest.raises(ShardUnavailable, match=r"within 0\.02 s"):
        await deployment_with(Response(is_given_up=False), timeout_s=0.02).call("answer")
