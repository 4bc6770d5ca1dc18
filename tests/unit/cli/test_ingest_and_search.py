"""`ingest`, `search` and the command itself, beside a stub server."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vectoray import __version__
from vectoray.cli import programs
from vectoray.cli.main import app

FOLDER = str(Path(__file__).parent)


def test_ingest_makes_the_collection_and_lists_every_document_that_failed(running: Any) -> None:
    first = running.run("ingest", FOLDER, "--collection", "docs")
    assert first.returncode == 0, first.stderr
    assert first.stderr == "Made the collection 'docs' with 384 dimensions, for all-MiniLM-L6-v2.\n"
    table = r"documents +3\n.*failed +1\n.*written +7\n.*unchanged +2\n.*removed +1\n.*chunks/s +7.2\n"
    assert re.search(table, first.stdout)
    assert "1 could not be stored:\n  broken.pdf: not a PDF\n" in first.stdout
    assert "3 skipped:\n  photo.jpg: unknown format\n  and 2 more\n" in first.stdout

    again = running("ingest", FOLDER, "--collection", "docs")
    assert again.exit_code == 0
    assert again.stderr == ""


def test_every_option_of_ingest_reaches_the_program_that_reads(running: Any) -> None:
    options = [
        "--text-column",
        "body",
        "--id-column",
        "-id",
        "--title-column",
        "t",
        "--strategy",
        "paragraph",
    ]
    options += ["--chunk-size", "300", "--chunk-overlap", "0", "--json"]
    found = running("ingest", str(Path(__file__)), "-c", "options", *options)
    assert found.exit_code == 0, found.stderr
    given = json.loads(found.stdout)["given"]
    assert given["source"] == str(Path(__file__))
    assert given["collection_id"].startswith("0b7e6a3c")
    assert [given[name] for name in ("text_column", "id_column", "title_column")] == ["body", "-id", "t"]
    assert (given["strategy"], given["chunk_size"]) == ("paragraph", 300)


@pytest.mark.parametrize("source", ["s3://bucket/place?region=x", "https://docs.example/sitemap.xml"])
def test_places_elsewhere_are_passed_on_as_they_are(running: Any, source: str) -> None:
    found = running("ingest", source, "-c", "elsewhere", "--json")
    assert json.loads(found.stdout)["given"]["source"] == source


def test_a_list_of_urls_may_come_from_stdin(running: Any) -> None:
    with running.start("ingest", "-", "-c", "docs", "--json") as process:
        out, err = process.communicate("https://a.example/\n", timeout=20)
    assert process.returncode == 0, err
    assert json.loads(out)["list"] == "https://a.example/\n"


def test_a_dry_run_makes_no_collection_and_says_what_would_be_read(running: Any) -> None:
    found = running("ingest", FOLDER, "-c", "never-made", "--dry-run")
    assert found.exit_code == 0, found.stderr
    assert (found.stderr, "never-made" in found.stdout) == ("", False)
    assert re.search(r"documents +3 \(2 PDF, 1 HTML\)\n.*failed +1\n +chunks +9\n", found.stdout)
    assert running("search", "never-made", "x").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["/nonexistent"], "There is no file or folder '/nonexistent'."),
        ([FOLDER, "--id-column", "x"], "--id-column and --title-column need --text-column."),
        (["-", "--text-column", "x"], "A source is either a list of URLs or a table."),
    ],
)
def test_a_mistake_is_one_sentence_before_any_work(running: Any, arguments: list[str], sentence: str) -> None:
    found = running("ingest", "-c", "mistaken", *arguments)
    assert (found.exit_code, found.stderr) == (2, sentence + "\n")
    assert running("search", "mistaken", "x").exit_code == 2


@pytest.mark.slow
def test_ingest_ends_with_the_exit_code_of_a_run_that_failed(
    running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_INGEST", "mistake")
    ingest = running.run("ingest", FOLDER, "--collection", "docs")
    assert ingest.returncode == 2
    assert ingest.stderr == "The collection has no embedding model.\n"
    assert "Ingested" not in ingest.stdout


@pytest.mark.parametrize("command", [("ingest", FOLDER, "-c", "docs"), ("search", "docs", "text")])
def test_a_command_that_needs_a_server_says_how_to_start_one(vectoray: Any, command: tuple[str, ...]) -> None:
    result = vectoray(*command)
    assert result.exit_code == 1
    assert result.stderr == (
        f"No server runs in {vectoray.data_dir}. Start one with: vectoray up --data-dir {vectoray.data_dir}\n"
    )


def test_search_prints_hits_without_control_characters(running: Any) -> None:
    running("ingest", FOLDER, "--collection", "docs")
    search = running("search", "docs", "ray clusters", "--top-k", "2")
    assert search.exit_code == 0, search.stderr
    lines = search.stdout.splitlines()
    assert lines[0] == "  1. 0.900  [31mTitle [bold]0"
    assert lines[1].strip() == "guide/a.pdf, page 3"
    assert lines[2].strip().startswith("About ray clusters. word")
    assert lines[2].endswith("word ...")
    assert len(lines) == 6


def test_search_prints_json_that_a_program_can_read(running: Any) -> None:
    running("ingest", FOLDER, "--collection", "docs")
    status = json.loads(running("status", "--json").stdout)
    search = running("search", "docs", "ray", "-k", "1", "--json", "--url", status["server"]["api_url"])
    answer = json.loads(search.stdout)
    assert [hit["id"] for hit in answer["hits"]] == ["id-0"]
    assert answer["hits"][0]["payload"]["source"] == "guide/a.pdf"


def test_search_in_an_unknown_collection_is_one_sentence(running: Any) -> None:
    search = running("search", "absent", "text")
    assert (search.exit_code, search.stderr) == (2, "Collection 'absent' does not exist.\n")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense"])
def test_search_at_a_wrong_address_is_one_sentence(url: str) -> None:
    result = CliRunner().invoke(app, ["search", "docs", "text", "--url", url])
    assert result.exit_code == (2 if url == "nonsense" else 1)
    assert result.stderr.count("\n") == 1
    assert url in result.stderr


@pytest.mark.parametrize("command", [["up"], ["ingest", FOLDER, "-c", "docs"]])
def test_without_the_server_packages_the_command_says_what_to_install(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "find_spec", lambda _: None)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert result.stderr == ('This command needs the server packages: pip install "vectoray[server]"\n')


def test_version_is_the_packages() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"vectoray {__version__}\n")


@pytest.mark.parametrize(
    "command",
    [["ingest", FOLDER], ["search", "docs"], ["search", "a", "b", "-k", "0"], ["upp"]],
)
def test_a_wrong_command_line_ends_with_two(command: list[str]) -> None:
    assert CliRunner().invoke(app, command).exit_code == 2
