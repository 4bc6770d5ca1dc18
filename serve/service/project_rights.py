"""Which projects a caller may read, and which are theirs to change: asked here, and nowhere else.

A user reads and changes their own projects, and reads what others shared with them. Who sends a share token
reads its project. A project that a caller may not read is not there for them; one that they may only read,
they may not change. Nobody else sees it, administrators no more than others.
"""

from collections.abc import Sequence
from uuid import UUID

from serve.auth import Principal
from serve.service.rights import require, require_all_collections
from storage.catalog import Projects, Reader, StoredProject
from vectoray.core.accounts import Scope
from vectoray.core.errors import PermissionDenied, ProjectNotFound


async def find_project(projects: Projects, caller: Principal, project_id: str, scope: Scope) -> StoredProject:
    """The project with this UUID, in any of its text forms.

    Args:
        projects: Where to look.
        caller: Who wants it.
        project_id: How they call it.
        scope: What they want it for.

    Raises:
        PermissionDenied: The caller's credential does not allow that with any project, or the project was
            shared with the caller, to be read.
        ProjectNotFound: There is none, or it is not the caller's to see; which, is not told.
    """
    [found] = await find_projects(projects, caller, [project_id], scope)
    return found


async def find_projects(
    projects: Projects, caller: Principal, ids: Sequence[str] | None, scope: Scope
) -> list[StoredProject]:
    """The projects with these UUIDs, each once; without ids all that the caller may read.

    Raises:
        PermissionDenied, ProjectNotFound: As `find_project`, of any of them.
    """
    require_projects(caller, scope)
    wanted = None if ids is None else list(dict.fromkeys(map(canonical, ids)))
    found = await projects.readable(Reader(caller.user, caller.share_token), wanted)
    if ids is not None:
        there = {one.project.id for one in found}
        for told in ids:
            if canonical(told) not in there:
                raise ProjectNotFound.of(told)
    if scope is not Scope.READ and any(one.project.user != caller.user for one in found):
        raise PermissionDenied("The project is shared with you to be read; only its owner may do this.")
    return found


def require_projects(caller: Principal, scope: Scope) -> None:
    """Let pass whose credential has the scope, and reaches projects.

    Raises:
        PermissionDenied: It has not, or is limited to certain collections.
    """
    require(caller, scope)
    require_all_collections(caller)


def canonical(told: str) -> str:
    """The usual text form of a UUID; empty for what is none."""
    try:
        return str(UUID(told))
    except ValueError:
        return ""
