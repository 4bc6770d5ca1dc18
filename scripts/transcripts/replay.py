"""Sends the examples of a page to a server, and says what the page should show."""

from collections.abc import Awaitable, Callable, Sequence

import httpx

from scripts.transcripts.answers import Answers
from scripts.transcripts.page import Example, Told

SERVER = "http://127.0.0.1:8000"
"""The server that the pages' commands ask."""


async def replay(
    examples: Sequence[Example],
    client: httpx.AsyncClient,
    answers: Answers,
    *,
    on_answer: Callable[[httpx.Response], Awaitable[None]] | None = None,
) -> list[Told]:
    """The examples, each with the status and the JSON value to show for it.

    Args:
        examples: Of one page, in its order.
        client: Of the server to ask, as its base URL.
        answers: Knows nothing of this run yet.
        on_answer: Is told each answer before the next is asked for.

    Raises:
        ValueError: An answer is no JSON.
    """
    told = []
    for example in examples:
        call = example.call
        response = await client.request(
            call.method,
            answers.to_send(call.url.removeprefix(SERVER)),
            headers={name: answers.to_send(value) for name, value in call.headers.items()},
            content=None if call.body is None else answers.to_send(call.body),
        )
        try:
            got = None if response.status_code == httpx.codes.NO_CONTENT else response.json()
        except ValueError:
            raise ValueError(
                f"{call.method} {call.url} answered {response.status_code} without JSON"
            ) from None
        if on_answer is not None:
            await on_answer(response)
        told.append((example, response.status_code, answers.to_show(example.answer, got)))
    return told
