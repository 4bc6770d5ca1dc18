"""Follows redirects one by one; each target is looked at as if a user had given it."""

from collections.abc import Awaitable, Callable

from yarl import URL

from pipelines.fetch.addresses import AddressPolicy
from pipelines.fetch.page import FetchError, FetchFailure
from pipelines.fetch.transport import Answer

_REDIRECTS = (301, 302, 303, 307, 308)


class BehindRedirect(FetchError):
    """What failed is not the URL that was asked for, but one that it redirects to."""


async def follow(
    told: str | URL,
    ask: Callable[[URL], Awaitable[Answer]],
    policy: AddressPolicy,
    *,
    max_redirects: int,
) -> tuple[URL, Answer]:
    """Ask for a URL, and for those it redirects to.

    Returns:
        The last URL, and its answer, which is no redirect.

    Raises:
        BehindRedirect: The chain leads to where nothing may be fetched, or can be.
        FetchError: The same of the URL itself, or the chain does not end.
    """
    url = policy.admit(told)
    answer = await ask(url)
    seen = {url}
    while answer.status in _REDIRECTS and "Location" in answer.headers:
        if len(seen) > max_redirects:
            raise FetchError.of(
                FetchFailure.TOO_MANY_REDIRECTS, f"The page redirects more than {max_redirects} times."
            )
        try:
            url = policy.admit(_target(url, answer.headers["Location"]))
            circle = url in seen
            if not circle:
                answer = await ask(url)
        except FetchError as error:
            raise BehindRedirect.of(error.reason, f"It redirects to another page. {error.message}") from None
        if circle:
            raise FetchError.of(FetchFailure.REDIRECT_LOOP, "The page redirects in a circle.")
        seen.add(url)
    return url, answer


def _target(url: URL, location: str) -> URL:
    try:
        return url.join(URL(location))
    except ValueError:
        raise FetchError.of(FetchFailure.BAD_REDIRECT, "The redirect's target is not a URL.") from None
