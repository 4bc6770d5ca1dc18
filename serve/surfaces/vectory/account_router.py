"""The endpoints of the Vectory API about accounts and keys: translate in, one service call, translate out."""

from datetime import UTC, datetime

from starlette.responses import Response

from serve.deps import ClientAddress, ServicesDep, SignedIn
from serve.surface import surface_router
from serve.surfaces.vectory import account_translate as translate
from serve.surfaces.vectory import account_wire as wire
from serve.surfaces.vectory.wire import ErrorBody

router = surface_router(prefix="/api", error_body=ErrorBody)


@router.post("/auth/register", status_code=201, tags=["Accounts"])
async def register(body: wire.Registration, address: ClientAddress, services: ServicesDep) -> wire.UserInfo:
    """Create a user account."""
    user = await services.accounts.register(body.email, body.password, body.name, address)
    return translate.user_info(user)


@router.post("/auth/login", tags=["Accounts"])
async def log_in(body: wire.Login, address: ClientAddress, services: ServicesDep) -> wire.TokenPair:
    """Exchange email and password for tokens."""
    return translate.token_pair(await services.accounts.log_in(body.email, body.password, address))


@router.post("/auth/refresh", tags=["Accounts"])
async def refresh(body: wire.Refresh, address: ClientAddress, services: ServicesDep) -> wire.TokenPair:
    """Exchange a refresh token, once, for new tokens."""
    return translate.token_pair(await services.accounts.refresh(body.refresh_token, address))


@router.get("/auth/me", tags=["Accounts"])
async def get_profile(caller: SignedIn, services: ServicesDep) -> wire.UserInfo:
    """Who is calling."""
    return translate.user_info(await services.accounts.profile(caller))


@router.get("/keys", tags=["API keys"])
async def list_keys(caller: SignedIn, services: ServicesDep) -> list[wire.KeyInfo]:
    """The caller's API keys, oldest first."""
    now = datetime.now(UTC)
    return [translate.key_info(key, now) for key in await services.api_keys.list(caller)]


@router.post("/keys", status_code=201, tags=["API keys"])
async def create_key(body: wire.CreateKey, caller: SignedIn, services: ServicesDep) -> wire.CreatedKey:
    """Create an API key. Its text, ``raw_key``, is in this answer and in no other."""
    key, text = await services.api_keys.create(
        caller, body.name, body.permissions, body.expires_at, rate_limit=body.rate_limit
    )
    return translate.created_key(key, text)


@router.patch("/keys/{key_id}", tags=["API keys"])
async def update_key(
    key_id: str, body: wire.UpdateKey, caller: SignedIn, services: ServicesDep
) -> wire.KeyInfo:
    """Change the name of an API key, or what it allows."""
    changed = await services.api_keys.change(caller, key_id, translate.key_change(body))
    return translate.key_info(changed, datetime.now(UTC))


@router.delete("/keys/{key_id}", status_code=204, tags=["API keys"])
async def delete_key(key_id: str, caller: SignedIn, services: ServicesDep) -> Response:
    """Revoke an API key, for ever and at once."""
    await services.api_keys.revoke(caller, key_id)
    return Response(status_code=204)
