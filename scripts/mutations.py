"""Breaks the storage on purpose, one named way at a time, and shows that a test notices each.

``python -m scripts.mutations`` copies the tree, checks that the tests pass in it as it is, applies each
mutation of ``mutations.toml`` to the copy and runs the tests that must turn red. It prints a table and ends
with status 1 if one of them stays green, or if a text that a mutation replaces is no longer there.

A mutation's ``old`` text must occur exactly once in the function that ``within`` names (``Class.method``), or
in the file if there is no ``within``; ``first = true`` takes the first of several.
"""

import argparse
import ast
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LIST = Path(__file__).with_name("mutations.toml")
_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "vectoray-data", "build", "dist")
_PYTEST_TESTS_FAILED = 1
_PYTEST = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "--tb=line", "-p", "no:cacheprovider"]
_TIMEOUT_S = 600


@dataclass(frozen=True)
class Mutation:
    """One way to break the code.

    Attributes:
        file: Path from the root of the tree.
        old: What is replaced by ``new``.
        tests: What pytest is given; at least one test of it must fail.
        within: The function that holds ``old``; None: anywhere in the file.
        first: Whether to take the first ``old`` of several.
    """

    name: str
    file: str
    old: str
    new: str
    tests: list[str]
    within: str | None = None
    first: bool = False

    def apply(self, source: str) -> str:
        """The source with this fault in it.

        Raises:
            LookupError: The text to replace is not there, or there more than once.
        """
        start, end = 0, len(source)
        if self.within is not None:
            start, end = _span(source, self.within)
        found = source.count(self.old, start, end)
        if found == 0:
            raise LookupError("no longer applies: its text is not there")
        if found > 1 and not self.first:
            raise LookupError(f"no longer applies: its text is there {found} times")
        at = source.index(self.old, start, end)
        mutated = source[:at] + self.new + source[at + len(self.old) :]
        ast.parse(mutated)
        return mutated


def _span(source: str, qualified_name: str) -> tuple[int, int]:
    """Where a function begins and ends in the source."""
    lines = source.splitlines(keepends=True)
    body: list[ast.stmt] = ast.parse(source).body
    first, last = 0, len(lines)
    for name in qualified_name.split("."):
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
                first, last, body = node.lineno - 1, node.end_lineno or last, node.body
                break
        else:
            raise LookupError(f"no longer applies: there is no {qualified_name}")
    return sum(map(len, lines[:first])), sum(map(len, lines[:last]))


def main() -> int:
    """Try the mutations. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help="mutations to try; all when none is given")
    parser.add_argument("--check", action="store_true", help="only say which no longer apply")
    arguments = parser.parse_args()
    mutations = [Mutation(**entry) for entry in tomllib.loads(_LIST.read_text())["mutation"]]
    unknown = set(arguments.names) - {mutation.name for mutation in mutations}
    if unknown:
        parser.error(f"no such mutation: {', '.join(sorted(unknown))}")
    if arguments.names:
        mutations = [mutation for mutation in mutations if mutation.name in arguments.names]
    with tempfile.TemporaryDirectory(prefix="vectoray-mutations-") as folder:
        tree = Path(folder, "tree")
        shutil.copytree(ROOT, tree, ignore=_NOT_COPIED)
        if not arguments.check and not _tests_pass(tree, mutations):
            return 1
        results = {mutation.name: _try(mutation, tree, only_apply=arguments.check) for mutation in mutations}
    bad = [name for name, result in results.items() if result not in {"killed", "applies"}]
    print(
        f"\n{len(results) - len(bad)} of {len(results)} mutations {'apply' if arguments.check else 'killed'}"
    )
    for name in bad:
        print(f"  {name}: {results[name]}")
    return 1 if bad else 0


def _tests_pass(tree: Path, mutations: list[Mutation]) -> bool:
    """Whether the tests are green without any fault: or else their failure would prove nothing."""
    tests = sorted({test for mutation in mutations for test in mutation.tests})
    done = _pytest(tree, tests)
    if done.returncode:
        print(f"The tests fail without any mutation:\n{done.stdout[-3000:]}")
    return done.returncode == 0


def _try(mutation: Mutation, tree: Path, *, only_apply: bool) -> str:
    """Apply a mutation, run its tests, take it back. Returns what became of it."""
    path = tree / mutation.file
    source = path.read_text()
    started_s = time.monotonic()
    try:
        path.write_text(mutation.apply(source))
        result = "applies" if only_apply else _verdict(tree, mutation.tests)
    except (LookupError, FileNotFoundError, SyntaxError) as error:
        result = str(error)
    finally:
        path.write_text(source)
    print(f"{result:<10} {time.monotonic() - started_s:6.1f} s  {mutation.name}", flush=True)
    return result


def _verdict(tree: Path, tests: list[str]) -> str:
    try:
        status = _pytest(tree, tests).returncode
    except subprocess.TimeoutExpired:
        return f"not decided in {_TIMEOUT_S} s"
    if status == 0:
        return "survived"
    # Any other status is no verdict of a test: a file that cannot be imported, a test that is not there.
    return "killed" if status == _PYTEST_TESTS_FAILED else f"broken (pytest ended with {status})"


def _pytest(tree: Path, tests: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*_PYTEST, *tests], cwd=tree, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
