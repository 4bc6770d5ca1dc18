"""The tools' answers as text, for clients and models that do not read structured content."""

from collections.abc import Iterable

import orjson

from serve.surfaces.mcp import wire


def of_collections(answer: wire.CollectionList) -> str:
    """One line for each collection."""
    if not answer.collections:
        return f"No collections here; there are {answer.total} in all."
    lines = [f"{len(answer.collections)} of {answer.total} collections, oldest first."]
    for one in answer.collections:
        vectors = "size unknown at the moment" if one.vectors is None else f"{one.vectors} vectors"
        by_text = "" if one.searchable_by_text else ", not searchable by text"
        described = f": {one.description}" if one.description else ""
        lines.append(f"- {one.name} (id {one.id}), {vectors}{by_text}{described}")
    return "\n".join(lines)


def of_search(answer: wire.SearchResults) -> str:
    """Each chunk under a line that says which it is."""
    if not answer.results:
        return f"Nothing in collection '{answer.collection}' answers that."
    count = "1 chunk" if len(answer.results) == 1 else f"{len(answer.results)} chunks"
    blocks = [f"{count} of collection '{answer.collection}', best first."]
    for place, found in enumerate(answer.results, 1):
        source = f", from {found.source}" if found.source else ""
        title = f"{place}. id {found.id}, score {found.score:.4f}{source}"
        blocks.append(_block(title, found.text, found.metadata))
    return "\n\n".join(blocks)


def of_reading(answer: wire.ReadResult) -> str:
    """The chunk among its neighbours, in the order of the source."""
    return "\n\n".join(
        [
            *_neighbours("Before", answer.before),
            _block(_title("Chunk", answer.chunk), answer.chunk.text, answer.chunk.metadata),
            *_neighbours("After", answer.after),
        ]
    )


def of_projects(answer: wire.ProjectList) -> str:
    """One line for each project."""
    if not answer.projects:
        return f"No projects here; there are {answer.total} in all."
    lines = [f"{len(answer.projects)} of {answer.total} projects, oldest first."]
    for one in answer.projects:
        shared = ", shared by somebody else" if one.shared else ""
        lines.append(f"- {one.project_name} (id {one.project_id}){shared}")
    return "\n".join(lines)


def of_project_search(answer: wire.ProjectSearchResults) -> str:
    """Each chunk under a line that says which it is."""
    if not answer.results:
        return "Nothing in the projects answers that."
    count = "1 chunk" if len(answer.results) == 1 else f"{len(answer.results)} chunks"
    blocks = [f"{count}, best first."]
    for place, found in enumerate(answer.results, 1):
        title = f"{place}. id {found.chunk_id}, project {found.project_id}, score {found.score:.4f}"
        blocks.append(_block(f"{title}, from {found.url}", found.content, {}))
    return "\n\n".join(blocks)


def of_project_reading(answer: wire.ProjectReadResult) -> str:
    """The chunk among its neighbours, in the order of the page."""
    chunks = [
        *(("Before", chunk) for chunk in answer.before),
        ("Chunk", answer.chunk),
        *(("After", chunk) for chunk in answer.after),
    ]
    return "\n\n".join(
        _block(
            f"{word}: id {chunk.chunk_id}, number {chunk.chunk_index}, from {answer.url}", chunk.content, {}
        )
        for word, chunk in chunks
    )


def _neighbours(word: str, chunks: Iterable[wire.Chunk]) -> Iterable[str]:
    return (_block(_title(word, chunk), chunk.text, {}) for chunk in chunks)


def _title(word: str, chunk: wire.Chunk) -> str:
    index = "" if chunk.chunk_index is None else f", number {chunk.chunk_index}"
    return f"{word}: id {chunk.id}{index}" + (f", from {chunk.source}" if chunk.source else "")


def _block(title: str, text: str | None, metadata: dict[str, object]) -> str:
    lines = [title, "(no text)" if text is None else text]
    if metadata:
        lines.append(f"Metadata: {orjson.dumps(metadata).decode()}")
    return "\n".join(lines)
