"""Takes URLs into projects, and tells how far each has come.

Whoever fetches them moves them on in the catalog, by `storage.catalog.UrlRuns`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from pipelines.url_spelling import normalise
from serve.auth import Principal
from serve.service.limits import Limits
from serve.service.project_rights import canonical, find_project
from storage.catalog import Projects, ProjectUrls, Submission
from vectoray.core.accounts import Scope
from vectoray.core.errors import Conflict, InvalidRequest, LimitExceeded, ProjectNotFound, UrlNotFound
from vectoray.core.projects import ProjectUrl, UrlStatus


@dataclass(frozen=True, slots=True)
class ProjectUrlService:
    """URLs of projects.

    Any method may raise `ProjectNotFound`, for there is none that the caller may see, and `PermissionDenied`:
    for a change where the caller may only read, and always for a key that is limited to certain collections.

    Attributes:
        wake: Tells whoever fetches that there is something to fetch; they look by themselves soon.
    """

    projects: Projects
    urls: ProjectUrls
    limits: Limits
    wake: Callable[[], None]

    async def submit(self, caller: Principal, project_id: str, original_url: str) -> Submission:
        """Take one URL, to be fetched, unless the project has it.

        Returns:
            It as submitted, or as a duplicate. One that failed before is submitted again.

        Raises:
            InvalidRequest: It is no URL that can be fetched.
            LimitExceeded: The project has as many URLs as it may.
        """
        url = normalise(original_url, where="original_url")
        return await self._submit(caller, project_id, [(original_url, url)])

    async def submit_many(self, caller: Principal, project_id: str, originals: Sequence[str]) -> Submission:
        """Take several URLs as `submit` does; if one is bad, none.

        Raises:
            InvalidRequest: One is no URL that can be fetched; the message says which. Or there are none.
            LimitExceeded: There are too many, or the project would have too many.
        """
        count, most = len(originals), self.limits.max_batch_urls
        if count == 0:
            raise InvalidRequest("'urls' is empty; send at least one.", {"at": "urls"})
        if count > most:
            raise LimitExceeded(
                f"'urls' has {count} items, at most {most} are allowed; send them in smaller batches.",
                {"at": "urls", "limit": most},
            )
        urls = [normalise(original, where=f"urls[{at}]") for at, original in enumerate(originals)]
        return await self._submit(caller, project_id, list(zip(originals, urls, strict=True)))

    async def of_project(
        self, caller: Principal, project_id: str, status: UrlStatus | None
    ) -> list[ProjectUrl]:
        """A project's URLs, oldest first; only those of a status if one is given."""
        found = await find_project(self.projects, caller, project_id, Scope.READ)
        return await self.urls.of_project(found.project.id, status)

    async def get(self, caller: Principal, project_id: str, url_id: str) -> ProjectUrl:
        """One URL.

        Raises:
            UrlNotFound: The project has none with this id.
        """
        found = await find_project(self.projects, caller, project_id, Scope.READ)
        return await find_url(self.urls, found.project.id, url_id)

    async def reprocess(self, caller: Principal, project_id: str, url_id: str) -> ProjectUrl:
        """Have a URL fetched anew. Its chunks stay until the new ones are there.

        One that is pending already stays so.

        Raises:
            UrlNotFound: The project has none with this id.
            Conflict: It is being fetched or encoded just now.
        """
        found = await find_project(self.projects, caller, project_id, Scope.WRITE)
        url = await find_url(self.urls, found.project.id, url_id)
        changed = await self.urls.begin_attempt(url.id, datetime.now(UTC))
        if changed is None:
            raise UrlNotFound.of(url_id)
        if changed.status is not UrlStatus.PENDING:
            raise Conflict(f"The URL is {changed.status} just now; try again when it is stored or failed.")
        self.wake()
        return changed

    async def _submit(
        self, caller: Principal, project_id: str, urls: Sequence[tuple[str, str]]
    ) -> Submission:
        found = await find_project(self.projects, caller, project_id, Scope.WRITE)
        now = datetime.now(UTC)
        new = [
            ProjectUrl(
                id=str(uuid4()),
                project=found.project.id,
                original_url=original,
                url=url,
                status=UrlStatus.PENDING,
                failure_reason=None,
                attempt=1,
                # So that lists keep the order of the batch.
                submitted_at=now + timedelta(microseconds=at),
                last_updated_at=now + timedelta(microseconds=at),
            )
            for at, (original, url) in enumerate(urls)
        ]
        submission = await self.urls.submit(found.project.id, new, most=self.limits.max_project_urls)
        if submission is None:
            raise ProjectNotFound.of(project_id)
        if submission.submitted:
            self.wake()
        return submission


async def find_url(urls: ProjectUrls, project_id: str, url_id: str) -> ProjectUrl:
    """The URL with this id, in any of a UUID's text forms.

    Raises:
        UrlNotFound: The project has none.
    """
    url = (await urls.find([canonical(url_id)])).get(canonical(url_id))
    if url is None or url.project != project_id:
        raise UrlNotFound.of(url_id)
    return url
