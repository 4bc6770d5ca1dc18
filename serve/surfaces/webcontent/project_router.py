"""The endpoints of the Web Content API about projects and shares, each in three moves.

Translate in, one service call, translate out.
"""

from starlette.responses import Response

from serve.deps import ServicesDep, SignedIn
from serve.surface import surface_router
from serve.surfaces.webcontent import translate, wire

router = surface_router(prefix="/api/v1", error_body=wire.ErrorBody)


@router.post("/projects", status_code=201, tags=["Projects"])
async def create_project(body: wire.ProjectName, caller: SignedIn, services: ServicesDep) -> wire.ProjectInfo:
    """Create a project."""
    return translate.project_info(await services.projects.create(caller, body.project_name))


@router.get("/projects", tags=["Projects"])
async def list_projects(caller: SignedIn, services: ServicesDep) -> list[wire.ProjectInfo]:
    """The caller's own projects, oldest first."""
    return [translate.project_info(project) for project in await services.projects.list(caller)]


@router.get("/projects/{project_id}", tags=["Projects"])
async def get_project(project_id: str, caller: SignedIn, services: ServicesDep) -> wire.ProjectInfo:
    """One project."""
    return translate.project_info(await services.projects.get(caller, project_id))


@router.patch("/projects/{project_id}", tags=["Projects"])
async def rename_project(
    project_id: str, body: wire.ProjectName, caller: SignedIn, services: ServicesDep
) -> wire.ProjectInfo:
    """Give a project another name."""
    return translate.project_info(await services.projects.rename(caller, project_id, body.project_name))


@router.delete("/projects/{project_id}", status_code=204, tags=["Projects"])
async def delete_project(project_id: str, caller: SignedIn, services: ServicesDep) -> Response:
    """Delete a project with its URLs, their chunks and its shares, for ever."""
    await services.projects.delete(caller, project_id)
    return Response(status_code=204)


@router.post("/projects/{project_id}/shares", status_code=201, tags=["Shares"])
async def create_share(
    project_id: str, body: wire.CreateShare, caller: SignedIn, services: ServicesDep
) -> wire.ShareInfo:
    """Let a user, or whoever has the token that is made, read a project."""
    return translate.share_info(
        await services.project_shares.create(caller, project_id, body.shared_with_user_id)
    )


@router.get("/projects/{project_id}/shares", tags=["Shares"])
async def list_shares(project_id: str, caller: SignedIn, services: ServicesDep) -> wire.ShareList:
    """A project's shares, oldest first."""
    shares = await services.project_shares.of_project(caller, project_id)
    return wire.ShareList(shares=[translate.share_info(share) for share in shares])


@router.delete("/projects/{project_id}/shares/{share_id}", status_code=204, tags=["Shares"])
async def delete_share(project_id: str, share_id: str, caller: SignedIn, services: ServicesDep) -> Response:
    """Take a share back: from now on it opens nothing."""
    await services.project_shares.delete(caller, project_id, share_id)
    return Response(status_code=204)


@router.get("/shared-projects/{token}", tags=["Shares"])
async def open_shared_project(token: str, services: ServicesDep) -> wire.OpenedProject:
    """The project that a share token opens; nobody needs to log in for that."""
    return translate.opened_project(await services.project_shares.open(token))
