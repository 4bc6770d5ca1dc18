"""What a caller's credential allows, whatever it is that they own."""

from serve.auth import Principal
from vectoray.core.accounts import Scope
from vectoray.core.errors import PermissionDenied


def require(caller: Principal, scope: Scope) -> None:
    """Let pass whose credential has the scope.

    Raises:
        PermissionDenied: It has not.
    """
    if scope not in caller.scopes:
        raise PermissionDenied(
            f"This API key does not have the scope '{scope}'; use one that has it.", {"scope": scope.value}
        )


def require_all_collections(caller: Principal) -> None:
    """Let pass whose credential is not limited to some collections.

    Raises:
        PermissionDenied: It is.
    """
    if caller.collections is not None:
        raise PermissionDenied("This API key is limited to certain collections; use one that is not.")
