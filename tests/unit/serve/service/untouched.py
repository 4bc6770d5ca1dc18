"""An engine that nobody may reach: tests of who is let through see how far a call came."""

from collections.abc import Callable
from typing import NoReturn


class Reached(Exception):
    """The caller got as far as the engine."""


class UntouchedEngine:
    """Says when it is reached."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def called(*_: object, **__: object) -> NoReturn:
            raise Reached

        return called
