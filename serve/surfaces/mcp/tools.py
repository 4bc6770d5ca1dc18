"""The tools, each of which translates in, calls one service, and translates out. They change nothing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mcp_types import Tool as ToolDescription
from mcp_types import ToolAnnotations
from pydantic import BaseModel

from serve.auth import Principal
from serve.services import Services
from serve.surfaces.mcp import text, translate, wire

A = TypeVar("A", bound=wire.Arguments)
R = TypeVar("R", bound=BaseModel)

_READ_ONLY = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)


@dataclass(frozen=True, slots=True)
class Tool(Generic[A, R]):
    """What a language model may call.

    Attributes:
        description: For the model: what it is for, and when to use it.
        arguments: What it takes.
        result: What it gives.
        run: Does it, as this caller.
        as_text: The result in words.
    """

    name: str
    title: str
    description: str
    arguments: type[A]
    result: type[R]
    run: Callable[[A, Principal, Services], Awaitable[R]]
    as_text: Callable[[R], str]

    def describe(self) -> ToolDescription:
        """The tool as the protocol lists it."""
        return ToolDescription(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=self.arguments.model_json_schema(),
            output_schema=self.result.model_json_schema(mode="serialization"),
            annotations=_READ_ONLY,
        )


async def list_collections(
    arguments: wire.ListCollections, caller: Principal, services: Services
) -> wire.CollectionList:
    """The collections that the caller may see."""
    views, total = await services.collections.page(
        caller, name=arguments.name, skip=arguments.skip, limit=arguments.limit
    )
    return translate.collection_list(views, total)


async def search(arguments: wire.Search, caller: Principal, services: Services) -> wire.SearchResults:
    """The chunks of a collection that are closest in meaning to a text."""
    answer = await services.search.search(
        caller, translate.address(arguments.collection), translate.search_request(arguments)
    )
    return translate.search_results(answer)


async def read_chunk(arguments: wire.ReadChunk, caller: Principal, services: Services) -> wire.ReadResult:
    """One chunk, and those around it."""
    passage = await services.passages.read(
        caller, translate.address(arguments.collection), arguments.id, around=arguments.neighbours
    )
    return translate.read_result(passage)


async def list_projects(
    arguments: wire.ListProjects, caller: Principal, services: Services
) -> wire.ProjectList:
    """The caller's own projects, and those that others shared with them."""
    projects, total = await services.projects.readable(caller, skip=arguments.skip, limit=arguments.limit)
    return translate.project_list(projects, total, reader=caller.user)


async def search_projects(
    arguments: wire.SearchProjects, caller: Principal, services: Services
) -> wire.ProjectSearchResults:
    """The chunks of several projects that are closest in meaning to a text."""
    hits = await services.project_chunks.query(
        caller, arguments.query, arguments.project_ids, top_k=arguments.top_k
    )
    return translate.project_search_results(hits)


async def read_project_chunk(
    arguments: wire.ReadProjectChunk, caller: Principal, services: Services
) -> wire.ProjectReadResult:
    """One chunk of a project, and those around it."""
    passage = await services.project_chunks.read(
        caller, arguments.project_id, arguments.chunk_id, around=arguments.neighbours
    )
    return translate.project_read_result(passage)


TOOLS: tuple[Tool[Any, Any], ...] = (
    Tool(
        name="list_collections",
        title="List collections",
        description=(
            "List the collections of documents that can be searched, with their names, ids and sizes. "
            "Call this first to learn which collection to search."
        ),
        arguments=wire.ListCollections,
        result=wire.CollectionList,
        run=list_collections,
        as_text=text.of_collections,
    ),
    Tool(
        name="search",
        title="Search a collection",
        description=(
            "Find the chunks of documents in one collection that are closest in meaning to a text. Use it to "
            "answer questions from the stored documents, and cite the source of what you use. Only "
            "collections with 'searchable_by_text' can be searched."
        ),
        arguments=wire.Search,
        result=wire.SearchResults,
        run=search,
        as_text=text.of_search,
    ),
    Tool(
        name="read_chunk",
        title="Read a chunk",
        description=(
            "Read one stored chunk by its id, with its text and metadata. Ask for neighbours to read what "
            "stands before and after it in the same document, when a search result is cut off or lacks "
            "context."
        ),
        arguments=wire.ReadChunk,
        result=wire.ReadResult,
        run=read_chunk,
        as_text=text.of_reading,
    ),
    Tool(
        name="list_projects",
        title="List projects",
        description=(
            "List the projects that can be searched, the caller's own and those shared with them, with their "
            "names and ids. A project holds the text of web pages."
        ),
        arguments=wire.ListProjects,
        result=wire.ProjectList,
        run=list_projects,
        as_text=text.of_projects,
    ),
    Tool(
        name="search_projects",
        title="Search projects",
        description=(
            "Find the pieces of web pages, in one project, several or all, that are closest in meaning to a "
            "text. Use it to answer questions from these pages, and cite the URL of what you use."
        ),
        arguments=wire.SearchProjects,
        result=wire.ProjectSearchResults,
        run=search_projects,
        as_text=text.of_project_search,
    ),
    Tool(
        name="read_project_chunk",
        title="Read a chunk of a project",
        description=(
            "Read one piece of a web page in a project by its id. Ask for neighbours to read what stands "
            "before and after it on the page, when a search result is cut off or lacks context."
        ),
        arguments=wire.ReadProjectChunk,
        result=wire.ProjectReadResult,
        run=read_project_chunk,
        as_text=text.of_project_reading,
    ),
)
