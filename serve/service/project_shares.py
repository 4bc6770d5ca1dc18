"""Shares projects, for reading, with users and with whoever has a token."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from serve.auth import Principal, token_holder
from serve.service.project_rights import canonical, find_project, require_projects
from storage.catalog import Accounts, Projects, ProjectShares, Reader, SharedProject
from vectoray.core.accounts import Scope
from vectoray.core.errors import InvalidRequest, ProjectNotFound, ShareNotFound, UserNotFound
from vectoray.core.projects import Project, ProjectShare

_TOKEN_BYTES = 24


@dataclass(frozen=True, slots=True)
class ProjectShareService:
    """Shares of the caller's projects, and projects that others shared with the caller.

    Methods about a project may raise `ProjectNotFound`, for there is none that the caller may see, and any
    `PermissionDenied`. To see a project's shares takes the same rights as to change them: whoever knows its
    token can pass it on.
    """

    projects: Projects
    shares: ProjectShares
    accounts: Accounts

    async def create(self, caller: Principal, project_id: str, with_user: str | None) -> ProjectShare:
        """Let somebody read a project: a user or, if None is named, whoever has the token that is made.

        Raises:
            InvalidRequest: The user is the caller.
            UserNotFound: There is no such user.
            Conflict: The project is shared with this user already, or has a token already.
        """
        found = await find_project(self.projects, caller, project_id, Scope.WRITE)
        user = None if with_user is None else await self._other_user(caller, with_user)
        share = ProjectShare(
            id=str(uuid4()),
            project=found.project.id,
            user=user,
            token=secrets.token_urlsafe(_TOKEN_BYTES) if user is None else None,
            created_at=datetime.now(UTC),
        )
        if not await self.shares.add(share):
            raise ProjectNotFound.of(project_id)
        return share

    async def of_project(self, caller: Principal, project_id: str) -> list[ProjectShare]:
        """A project's shares, oldest first."""
        found = await find_project(self.projects, caller, project_id, Scope.WRITE)
        return await self.shares.of_project(found.project.id)

    async def delete(self, caller: Principal, project_id: str, share_id: str) -> None:
        """Take a share back: from now on it opens nothing.

        Raises:
            ShareNotFound: The project has none with this id.
        """
        found = await find_project(self.projects, caller, project_id, Scope.WRITE)
        if not await self.shares.remove(found.project.id, canonical(share_id)):
            raise ShareNotFound.of(share_id)

    async def open(self, token: str) -> Project:
        """The project that a share token opens, for whoever has the token.

        Raises:
            ProjectNotFound: It opens none, or none any more.
        """
        holder = token_holder(token)
        found = await self.projects.readable(Reader(holder.user, holder.share_token))
        if not found:
            raise ProjectNotFound("The share token opens no project, or none any more.")
        return found[0].project

    async def shared_with_caller(self, caller: Principal) -> list[SharedProject]:
        """The projects that others shared with the caller, those shared first coming first."""
        require_projects(caller, Scope.READ)
        return await self.shares.shared_with(caller.user)

    async def _other_user(self, caller: Principal, told: str) -> str:
        user = await self.accounts.user(canonical(told))
        if user is None:
            raise UserNotFound.of(told)
        if user.id == caller.user:
            raise InvalidRequest("The project is yours already.", {"at": "shared_with_user_id"})
        return user.id
