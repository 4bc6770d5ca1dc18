"""Who asks in the matrix of rights, and what they ask for: an owner's objects of every kind, made anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import count

from sqlalchemy.orm import Session

from storage.catalog.account_tables import UserRow
from tests.contract.web_site import PASSWORD, Site, User

COLLECTION_MARK = "saffron"
"""Is in all that the owner keeps in collections, and in nothing else."""

PRIVATE_MARK = "turmeric"
"""Is in the owner's projects and keys, which are nobody else's whatever their rights, and in nothing else."""

COLLECTED_TEXT = f"abc {COLLECTION_MARK}"


class Caller(StrEnum):
    """Who asks."""

    ANONYMOUS = "anonymous"
    OTHER = "other user"
    READ_KEY = "read key"
    SHARE_TOKEN = "share token"
    OWNER = "owner"
    ADMIN = "admin"


class Kind(StrEnum):
    """What an id is of: who may see it depends on that."""

    COLLECTION = "collection"
    PRIVATE = "private"


KINDS: Mapping[str, Kind] = {
    "collection_id": Kind.COLLECTION,
    "collection_name": Kind.COLLECTION,
    "collection": Kind.COLLECTION,
    "vector_id": Kind.COLLECTION,
    "filename": Kind.COLLECTION,
    "job_id": Kind.COLLECTION,
    "pending_job_id": Kind.COLLECTION,
    "upload": Kind.COLLECTION,
    "project_id": Kind.PRIVATE,
    "url_id": Kind.PRIVATE,
    "share_id": Kind.PRIVATE,
    "token": Kind.PRIVATE,
    "key_id": Kind.PRIVATE,
}
"""Names of ids of the owner's objects, as paths spell them, and as bodies of the matrix do."""


@dataclass(frozen=True)
class People:
    """Everybody who has an account on the server."""

    owner: User
    reader: User
    other: User
    admin: User
    somebody: User

    @classmethod
    async def sign_up(cls, site: Site) -> "People":
        owner, other, admin, somebody = [
            await site.sign_up(name) for name in (f"{PRIVATE_MARK}-owner", "other", "admin", "somebody")
        ]
        await _make_admin(site, admin)
        return cls(owner, await site.key(owner, scopes=["read"]), other, admin, somebody)

    def headers(self, caller: Caller, share_token: str) -> dict[str, str]:
        """What ``caller`` sends to prove who they are."""
        return {
            Caller.ANONYMOUS: {},
            Caller.OTHER: self.other.headers,
            Caller.READ_KEY: self.reader.headers,
            Caller.SHARE_TOKEN: {"x-share-token": share_token},
            Caller.OWNER: self.owner.headers,
            Caller.ADMIN: self.admin.headers,
        }[caller]


@dataclass
class Objects:
    """Makes objects of the owner's over the API."""

    site: Site
    people: People

    def __post_init__(self) -> None:
        self._numbers = count()

    async def make(self) -> dict[str, str]:
        """One of every kind.

        Returns:
            The ids of `KINDS`, and values for bodies that name nothing of the owner's: ``new``, a name that
            nothing has, ``somebody``, a user's id, and what the owner signs in with.
        """
        number = next(self._numbers)
        login = {"email": self.people.owner.email, "password": PASSWORD}
        return {
            **await self._collection(f"{COLLECTION_MARK}-{number}"),
            **await self._project(f"{PRIVATE_MARK}-{number}"),
            "key_id": (await self._post("/api/keys", {"name": PRIVATE_MARK, "permissions": {}}))["id"],
            "new": f"new-{number}",
            "refresh_token": (await self._post("/api/auth/login", login))["refresh_token"],
            **login,
            "somebody": self.people.somebody.id,
        }

    async def _collection(self, name: str) -> dict[str, str]:
        made = await self._post("/api/collections", {"name": name, "dimension": 3})
        file_name = f"{COLLECTION_MARK}.md"
        vector = {
            "id": "doc_123",
            "vector": [1, 2, 3],
            "text_content": COLLECTED_TEXT,
            "metadata": {"seen": COLLECTION_MARK},
            "source_file": file_name,
        }
        await self._post(f"/api/collections/{made['id']}/vectors", vector)
        pending, cancelled = [await self._job(made["id"], file_name) for _ in range(2)]
        path = f"/api/ingestion/jobs/{cancelled}"
        assert (await self.site.client.delete(path, headers=self.people.owner.headers)).is_success
        return {
            "collection_id": made["id"],
            "collection_name": name,
            "collection": name,
            "vector_id": "doc_123",
            "filename": file_name,
            "upload": (await self._upload(made["id"], file_name))["file_path"],
            "job_id": cancelled,
            "pending_job_id": pending,
        }

    async def _job(self, collection_id: str, file_name: str) -> str:
        upload = await self._upload(collection_id, file_name)
        return (await self._post(f"/api/ingestion/jobs?collection_id={collection_id}", upload))["id"]

    async def _upload(self, collection_id: str, file_name: str) -> dict[str, str]:
        response = await self.site.client.post(
            "/api/ingestion/upload",
            files={"file": (file_name, COLLECTED_TEXT.encode())},
            data={"collection_id": collection_id},
            headers=self.people.owner.headers,
        )
        assert response.is_success, response.text
        upload: dict[str, str] = response.json()
        return upload

    async def _project(self, name: str) -> dict[str, str]:
        owner = self.people.owner
        project = await self.site.project(owner, name)
        url_id = await self.site.submit(owner, project, f"https://example.com/{PRIVATE_MARK}")
        await self.site.store(url_id, f"abc {PRIVATE_MARK}")
        share = await self._post(f"/api/v1/projects/{project}/shares", {})
        return {
            "project_id": project,
            "url_id": url_id,
            "share_id": share["name"].rpartition("/")[2],
            "token": share["share_token"],
        }

    async def _post(self, path: str, body: object) -> dict[str, str]:
        response = await self.site.client.post(path, json=body, headers=self.people.owner.headers)
        assert response.is_success, f"{path}: {response.text}"
        made: dict[str, str] = response.json()
        return made


async def _make_admin(site: Site, who: User) -> None:
    def work(session: Session) -> None:
        session.get_one(UserRow, who.id).is_admin = True

    await site.services.catalog.database.write(work)
