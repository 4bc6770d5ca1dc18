"""What handlers are given: the caller and the services."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from serve.auth import Principal
from serve.services import Services


async def _caller(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


async def _services(request: Request) -> Services:
    services: Services = request.state.services
    return services


Caller = Annotated[Principal, Depends(_caller)]
ServicesDep = Annotated[Services, Depends(_services)]
