"""Who may call a handler, by what it takes."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends
from fastapi.dependencies.utils import get_dependant

from serve.auth import Access
from serve.deps import Caller, ServicesDep, SignedIn, access_of


def user_of(caller: Caller) -> str:
    return caller.user


def name_of(user: Annotated[str, Depends(user_of)]) -> str:
    return user.title()


def signed_in_user_of(caller: SignedIn) -> str:
    return caller.user


def nobody(services: ServicesDep) -> None: ...
def a_caller(caller: Caller, services: ServicesDep) -> None: ...
def a_signed_in_one(caller: SignedIn) -> None: ...
def a_caller_below(name: Annotated[str, Depends(name_of)]) -> None: ...
def a_signed_in_one_below(user: Annotated[str, Depends(signed_in_user_of)], caller: Caller) -> None: ...


@pytest.mark.parametrize(
    ("handler", "access"),
    [
        (nobody, Access.OPEN),
        (a_caller, Access.CALLER),
        (a_signed_in_one, Access.SIGNED_IN),
        (a_caller_below, Access.CALLER),
        (a_signed_in_one_below, Access.SIGNED_IN),
    ],
)
def test_what_a_handler_takes_says_who_may_call_it(handler: Callable[..., Any], access: Access) -> None:
    assert access_of(get_dependant(path="/", call=handler)) is access
