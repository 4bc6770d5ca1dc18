"""Finds the handler of a path in time that does not grow with the number of handlers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

_REST = ":path}"


@dataclass(slots=True)
class _Node(Generic[T]):
    """What follows the segments that led here."""

    literals: "dict[str, _Node[T]]" = field(default_factory=dict)
    verbs: "dict[str, _Node[T]]" = field(default_factory=dict)
    any_segment: "_Node[T] | None" = None
    here: dict[str, tuple[T, tuple[str, ...]]] = field(default_factory=dict)
    rest: dict[str, tuple[T, tuple[str, ...]]] = field(default_factory=dict)


class RouteTable(Generic[T]):
    """A tree of path segments.

    A segment written out beats ``{name}:verb``, which beats ``{name}``, which beats ``{name:path}`` for the
    rest of the path, in whatever order they were added. What is not found may still be for a framework to
    answer: it knows what is a 404 and what a 405.
    """

    def __init__(self, routes: Iterable[tuple[str, str, T]]) -> None:
        """A table of (method, path, handler); ``{name:path}`` can only be the end of a path."""
        self._root: _Node[T] = _Node()
        for method, path, handler in routes:
            self._add(method, path, handler)

    def find(self, method: str, path: str) -> tuple[T, dict[str, str]] | None:
        """The handler of a path, percent-decoded, and the values of its names."""
        segments = path.split("/")
        values: list[str] = []
        found = self._walk(self._root, method, segments, 1, values)
        if found is None or segments[0]:
            return None
        handler, names = found
        return handler, dict(zip(names, values, strict=True))

    def _add(self, method: str, path: str, handler: T) -> None:
        node = self._root
        names: list[str] = []
        for segment in path.split("/")[1:]:
            if segment.endswith(_REST):
                node.rest[method] = (handler, (*names, segment[1 : -len(_REST)]))
                return
            if segment.startswith("{"):
                name, _, verb = segment[1:].partition("}")
                names.append(name)
                if verb:
                    node = node.verbs.setdefault(verb, _Node())
                else:
                    node.any_segment = node.any_segment or _Node()
                    node = node.any_segment
            else:
                node = node.literals.setdefault(segment, _Node())
        node.here[method] = (handler, tuple(names))

    def _walk(
        self, node: _Node[T], method: str, segments: list[str], at: int, values: list[str]
    ) -> tuple[T, tuple[str, ...]] | None:
        if at == len(segments):
            return node.here.get(method)
        segment = segments[at]
        literal = node.literals.get(segment)
        if literal is not None:
            found = self._walk(literal, method, segments, at + 1, values)
            if found is not None:
                return found
        for value, follows in _named(node, segment):
            values.append(value)
            found = self._walk(follows, method, segments, at + 1, values)
            if found is not None:
                return found
            values.pop()
        if method in node.rest:
            values.append("/".join(segments[at:]))
            return node.rest[method]
        return None


def _named(node: _Node[T], segment: str) -> Iterator[tuple[str, _Node[T]]]:
    """The ways on with ``segment`` as a value, and that value; a value is never empty."""
    for verb, follows in node.verbs.items():
        value = segment.removesuffix(verb)
        if value and value != segment:
            yield value, follows
    if node.any_segment is not None and segment:
        yield segment, node.any_segment
