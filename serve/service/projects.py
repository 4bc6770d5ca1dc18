"""Creates, shows, renames and deletes projects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from cluster.engine import Engine
from serve.auth import Principal
from serve.service.completion import Completion
from serve.service.event_relay import EventRelay
from serve.service.lifecycle import create_collection, drop_collection
from serve.service.limits import CollectionDefaults
from serve.service.project_rights import find_project, find_projects, require_projects
from storage.catalog import Catalog, Projects
from vectoray.core.accounts import Scope
from vectoray.core.errors import InvalidRequest, ProjectNotFound, Unavailable
from vectoray.core.model import Collection, IndexOptions, Metric
from vectoray.core.projects import Project

_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class ProjectService:
    """Projects of the caller, and to look at those that others shared with them.

    Any method may raise `PermissionDenied`: for a change where the caller may only read, and always for a key
    that is limited to certain collections.
    """

    catalog: Catalog
    projects: Projects
    engine: Engine
    defaults: CollectionDefaults
    completion: Completion
    relay: EventRelay

    async def create(self, caller: Principal, name: str) -> Project:
        """Make a project that the caller owns, and the collection of its chunks.

        Raises:
            InvalidRequest: The name cannot be one.
            Unavailable: The server has no embedding model.
        """
        require_projects(caller, Scope.WRITE)
        model = self.defaults.embedding_model
        if model is None:
            raise Unavailable("The server has no embedding model, and so no projects.")
        now = datetime.now(UTC)
        project = Project(id=str(uuid4()), user=caller.user, name=_checked(name), created_at=now)
        collection_id = str(uuid4())
        collection = Collection(
            id=collection_id,
            # No caller can give a collection such a name, nor ask for it.
            name=f"projects/{project.id}",
            owner=caller.user,
            dimension=model.dimension,
            metric=Metric.COSINE,
            index=IndexOptions(),
            hosts=self.engine.place(collection_id, self.defaults.shards),
            embedding_model=model.name,
            project_id=project.id,
            created_at=now,
            updated_at=now,
        )
        creation = create_collection(self.catalog, self.engine, self.relay, collection, project=project)
        await self.completion.of(creation)
        return project

    async def list(self, caller: Principal) -> list[Project]:
        """The caller's own projects, oldest first."""
        require_projects(caller, Scope.READ)
        return await self.projects.of_user(caller.user)

    async def readable(self, caller: Principal, *, skip: int, limit: int) -> tuple[Sequence[Project], int]:
        """Some of the projects that the caller may read, oldest first, and how many there are in all."""
        found = await find_projects(self.projects, caller, None, Scope.READ)
        return [one.project for one in found[skip : skip + limit]], len(found)

    async def get(self, caller: Principal, project_id: str) -> Project:
        """One project.

        Raises:
            ProjectNotFound: There is none that the caller may see.
        """
        return (await find_project(self.projects, caller, project_id, Scope.READ)).project

    async def rename(self, caller: Principal, project_id: str, name: str) -> Project:
        """Give a project another name.

        Raises:
            ProjectNotFound: There is none that the caller may see.
            InvalidRequest: The name cannot be one.
        """
        found = await find_project(self.projects, caller, project_id, Scope.WRITE)
        renamed = await self.projects.rename(found.project.id, _checked(name))
        if renamed is None:
            raise ProjectNotFound.of(project_id)
        return renamed

    async def delete(self, caller: Principal, project_id: str) -> None:
        """Delete a project with its URLs, their chunks and its shares, for ever.

        Raises:
            ProjectNotFound: There is none that the caller may see.
        """
        found = await find_project(self.projects, caller, project_id, Scope.WRITE)
        await self.completion.of(drop_collection(self.catalog, self.engine, self.relay, found.collection))


def _checked(name: str) -> str:
    if not name.strip() or len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidRequest(
            f"The project's name must have 1 to {_MAX_NAME} characters, none of them a control character.",
            {"at": "project_name"},
        )
    return name
