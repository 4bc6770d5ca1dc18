"""What handlers are given: the caller and the services."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from serve.auth import Principal
from serve.services import Services


async def caller_of(request: Request) -> Principal:
    """Who sent the request."""
    principal: Principal = request.state.principal
    return principal


async def services_of(request: Request) -> Services:
    """The services of this process."""
    services: Services = request.state.services
    return services


Caller = Annotated[Principal, Depends(caller_of)]
ServicesDep = Annotated[Services, Depends(services_of)]
