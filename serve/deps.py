"""What handlers are given: the caller and the services. By what they take they say who may call them."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Header, Query
from fastapi.dependencies.models import Dependant
from starlette.requests import Request

from serve.auth import Access, Principal
from serve.services import Services


async def caller_of(request: Request) -> Principal:
    """Who sent the request."""
    principal: Principal = request.state.principal
    return principal


async def signed_in_of(request: Request) -> Principal:
    """Who sent the request, which needs a credential in every profile."""
    return await caller_of(request)


async def address_of(request: Request) -> str:
    """Where the request comes from."""
    address: str = request.state.address
    return address


async def reader_of(
    request: Request,
    _header: Annotated[
        str | None, Header(alias="X-Share-Token", description="Opens the one project that it is for.")
    ] = None,
    _query: Annotated[str | None, Query(alias="share_token", description="The same, in the URL.")] = None,
) -> Principal:
    """Who sent the request, which needs a credential or a share token.

    The parameters are for the documentation; `serve.auth.share_token_of` finds them.
    """
    return await caller_of(request)


async def services_of(request: Request) -> Services:
    """The services of this process."""
    services: Services = request.state.services
    return services


Caller = Annotated[Principal, Depends(caller_of)]
SignedIn = Annotated[Principal, Depends(signed_in_of)]
ClientAddress = Annotated[str, Depends(address_of)]
Reader = Annotated[Principal, Depends(reader_of)]
ServicesDep = Annotated[Services, Depends(services_of)]


def access_of(dependant: Dependant) -> Access:
    """Who may call the handler that has these parameters. One that takes no caller is open to everybody.

    A caller that is taken by what the handler takes counts as well: otherwise one without a credential would
    get there as somebody.
    """
    taken = {dependency.call for dependency in _all_below(dependant)}
    if signed_in_of in taken:
        return Access.SIGNED_IN
    if reader_of in taken:
        return Access.SHARED
    return Access.CALLER if caller_of in taken else Access.OPEN


def _all_below(dependant: Dependant) -> Iterator[Dependant]:
    for dependency in dependant.dependencies:
        yield dependency
        yield from _all_below(dependency)
