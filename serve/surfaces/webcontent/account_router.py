"""The endpoints of the Web Content API about users: translate in, one service call, translate out."""

from serve.deps import ClientAddress, ServicesDep, SignedIn
from serve.surface import surface_router
from serve.surfaces.webcontent import translate, wire

router = surface_router(prefix="/api/v1", error_body=wire.ErrorBody)


@router.post("/users", status_code=201, tags=["Users"])
async def register(body: wire.Registration, address: ClientAddress, services: ServicesDep) -> wire.UserInfo:
    """Create a user account."""
    return translate.user_info(await services.accounts.register(body.email, body.password, "", address))


@router.post("/auth/token", tags=["Users"])
async def log_in(body: wire.Login, address: ClientAddress, services: ServicesDep) -> wire.AccessToken:
    """Exchange email and password for an access token."""
    return wire.AccessToken(
        access_token=await services.accounts.access_token(body.email, body.password, address)
    )


@router.post("/auth/google", tags=["Users"])
async def sign_in_with_google(
    body: wire.ProviderToken, address: ClientAddress, services: ServicesDep
) -> wire.AccessToken:
    """Exchange an ID token of Google for an access token."""
    return translate.access_token(await services.sign_in.sign_in_with("google", body.token, address))


@router.post("/auth/microsoft", tags=["Users"])
async def sign_in_with_microsoft(
    body: wire.ProviderToken, address: ClientAddress, services: ServicesDep
) -> wire.AccessToken:
    """Exchange an ID token of Microsoft for an access token."""
    return translate.access_token(await services.sign_in.sign_in_with("microsoft", body.token, address))


@router.get("/users/me", tags=["Users"])
async def get_profile(caller: SignedIn, services: ServicesDep) -> wire.UserInfo:
    """Who is calling."""
    return translate.user_info(await services.accounts.profile(caller))


@router.get("/users/me/shared-projects", tags=["Shares"])
async def list_shared_projects(caller: SignedIn, services: ServicesDep) -> wire.SharedProjectList:
    """The projects that others shared with the caller, those shared first coming first."""
    return translate.shared_projects(await services.project_shares.shared_with_caller(caller))
