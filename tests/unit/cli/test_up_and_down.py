"""`up`, `down` and `status` on real processes: the stub server in its good and bad moods."""

import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vectoray.cli import processes
from vectoray.cli.child import started
from vectoray.cli.server_files import ServerFiles
from vectoray.cli.start import wait_until_answering
from vectoray.cli.stop import Stopped, stop_server

Spawn = Callable[..., "subprocess.Popen[bytes]"]
SLEEP = "import sys, time; time.sleep(300)"


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once it holds; the test's timeout ends a wait in vain."""
    while not condition():
        time.sleep(0.01)


def write_info(files: ServerFiles, **changes: Any) -> None:
    """Leave a ``server.json`` as a server that was killed does."""
    files.info_path.parent.mkdir(parents=True, exist_ok=True)
    info = {
        "pid": 1,
        "started_at": "2026-01-01T00:00:00Z",
        "version": "9",
        "api_url": "http://127.0.0.1:1",
        "docs_url": "http://127.0.0.1:1/docs",
        "dashboard_url": None,
        "session_dir": None,
    }
    files.info_path.write_text(json.dumps(info | changes))


def read_until(process: "subprocess.Popen[str]", word: str) -> str:
    """Read stdout up to the line with ``word``."""
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if word in line:
            return seen
    raise AssertionError(f"ended without '{word}': {seen}{process.stderr.read() if process.stderr else ''}")


def test_up_detached_returns_when_the_server_answers_and_down_ends_it(vectoray: Any) -> None:
    up = vectoray("up", "--detach")
    assert up.exit_code == 0, up.stderr
    files = ServerFiles(vectoray.data_dir)
    info = files.running()
    assert info
    for line in (info.api_url, info.docs_url, "http://127.0.0.1:8265", f"down --data-dir {files.data_dir}"):
        assert line in up.stdout
    assert files.log_path.stat().st_mode & 0o077 == 0

    down = vectoray("down")
    assert (down.exit_code, down.stdout) == (0, "The server has stopped.\n")
    assert not files.locked()
    assert not files.info_path.exists()
    assert "got SIGTERM" in files.log_path.read_text()


def test_a_second_up_is_refused_with_the_address_of_the_first(vectoray: Any) -> None:
    assert vectoray("up", "--detach").exit_code == 0
    info = ServerFiles(vectoray.data_dir).running()
    assert info
    second = vectoray("up")
    assert second.exit_code == 1
    assert info.api_url in second.stderr
    vectoray("down")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_in_the_foreground_passes_the_signal_on_and_ends_with_zero(
    vectoray: Any, number: signal.Signals
) -> None:
    with vectoray.start("up") as process:
        said = read_until(process, "Ctrl-C")
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert "http://127.0.0.1:" in said
    assert process.returncode == 0
    assert f"got {number.name}" in err
    assert not ServerFiles(vectoray.data_dir).locked()


@pytest.mark.slow
def test_up_in_the_foreground_ends_with_the_exit_code_of_a_server_that_dies(vectoray: Any) -> None:
    vectoray.env["STUB"] = "littering"
    with vectoray.start("up") as process:
        read_until(process, "Ctrl-C")
        owner = ServerFiles(vectoray.data_dir).owner()
        assert owner
        processes.send_signal(owner, signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode == 1
    assert not ServerFiles(vectoray.data_dir).info_path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("options", [["up"], ["up", "--detach"]])
def test_a_mistake_is_shown_in_the_servers_words_with_its_exit_code(
    vectoray: Any, options: list[str]
) -> None:
    vectoray.env["STUB"] = "mistake"
    up = vectoray.run(*options)
    assert up.returncode == 2
    # In the foreground it stands among what we say meanwhile.
    assert "Port 8000 is in use; choose another with --port." in up.stderr.splitlines()
    assert "Traceback" not in up.stderr
    # In the foreground the server's log goes to the terminal as it comes.
    assert ("a line of the log" in up.stderr) == ("--detach" not in options)


def test_a_crash_while_starting_shows_the_end_of_this_starts_log(vectoray: Any) -> None:
    log = ServerFiles(vectoray.data_dir).log_path
    log.parent.mkdir(parents=True)
    log.write_text("an earlier start\n")
    vectoray.env["STUB"] = "crash"
    up = vectoray("up", "--detach")
    assert up.exit_code == 1
    assert "something broke" in up.stderr
    assert str(log) in up.stderr
    assert "an earlier start" not in up.stderr


@pytest.mark.slow
def test_an_interrupted_start_leaves_no_server(vectoray: Any) -> None:
    vectoray.env["STUB"] = "mute"
    files = ServerFiles(vectoray.data_dir)
    with vectoray.start("up", "--detach") as process:
        assert process.stderr
        process.stderr.readline()
        while not files.locked():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 1
    assert not files.locked()


def test_a_data_directory_that_cannot_be_written_is_one_sentence(vectoray: Any) -> None:
    vectoray.data_dir.parent.joinpath("file").write_text("")
    up = vectoray("up", "--detach", "--data-dir", str(vectoray.data_dir.parent / "file" / "data"))
    assert up.exit_code == 2
    assert up.stderr.startswith("Cannot write to the data directory")
    assert up.stderr.count("\n") == 1


def test_down_without_a_server_says_so(vectoray: Any) -> None:
    down = vectoray("down")
    assert (down.exit_code, down.stdout) == (0, f"No server runs in {vectoray.data_dir}.\n")
    assert down.stderr == ""
    assert not vectoray.data_dir.exists()


def test_down_ends_what_the_server_left_behind(vectoray: Any) -> None:
    vectoray.env["STUB"] = "littering"
    assert vectoray("up", "--detach").exit_code == 0
    litter = processes.writing_below(f"{vectoray.data_dir}/ray/session_1")
    assert len(litter) == 1
    assert vectoray("down").exit_code == 0
    assert not processes.living(litter)


def test_down_kills_a_server_that_does_not_stop_with_its_children(vectoray: Any) -> None:
    vectoray.env["STUB"] = "deaf"
    assert vectoray("up", "--detach").exit_code == 0
    files = ServerFiles(vectoray.data_dir)
    owner = files.owner()
    assert owner
    family = {owner, *processes.descendants(owner)}
    assert len(family) == 2
    assert stop_server(files, grace_s=0.2, tick=lambda: None) is Stopped.KILLED
    assert not processes.living(family)
    assert not files.info_path.exists()


def test_down_after_a_crash_ends_the_session_and_removes_the_file(vectoray: Any, spawn: Spawn) -> None:
    files = ServerFiles(vectoray.data_dir)
    session_dir = f"{files.data_dir}/ray/session_1"
    log = Path(session_dir, "logs", "raylet.out")
    log.parent.mkdir(parents=True)
    Path(f"{session_dir}0").mkdir()
    opened = "import sys, time; file = open(*sys.argv[1:]); print(flush=True); time.sleep(300)"
    raylet = spawn(opened, str(log), "w")
    neighbour = spawn(opened, f"{session_dir}0/raylet.out", "w")
    wait_for(lambda: log.exists() and Path(f"{session_dir}0/raylet.out").exists())
    reader = spawn(opened, str(log), "r")
    write_info(files, pid=2**22 - 1, session_dir=session_dir)
    assert stop_server(files, grace_s=0, tick=lambda: None) is Stopped.LEFTOVERS
    assert raylet.wait(5) == -signal.SIGTERM
    assert neighbour.poll() is None
    assert reader.poll() is None
    assert not files.info_path.exists()
    for process in (neighbour, reader):
        process.kill()
        process.wait()


def test_down_never_touches_a_process_that_got_the_servers_id(vectoray: Any, spawn: Spawn) -> None:
    files = ServerFiles(vectoray.data_dir)
    stranger = spawn(SLEEP)
    write_info(files, pid=stranger.pid)
    files.lock_path.touch()
    assert vectoray("down").stdout == f"No server runs in {vectoray.data_dir}.\n"
    assert stranger.poll() is None


@pytest.mark.slow
def test_down_stops_the_holder_of_the_lock_and_not_the_id_of_an_earlier_server(
    vectoray: Any, spawn: Spawn
) -> None:
    files = ServerFiles(vectoray.data_dir)
    stranger = spawn(SLEEP)
    write_info(files, pid=stranger.pid)
    vectoray.env["STUB"] = "mute"
    with vectoray.start("up") as starting:
        while not files.locked():
            assert starting.poll() is None
        assert vectoray("down").stdout == "The server has stopped.\n"
        starting.communicate(timeout=60)
    assert stranger.poll() is None


def test_a_start_is_not_misled_by_a_file_that_names_another_server_that_answers(
    tmp_path: Path, running: Any, spawn: Spawn
) -> None:
    other = ServerFiles(running.data_dir).running()
    assert other
    files = ServerFiles(tmp_path)
    write_info(files, pid=other.pid, api_url=other.api_url)
    with pytest.raises(TimeoutError):
        wait_until_answering(spawn(SLEEP), files, timeout_s=0.2, tick=lambda: None)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_an_unreadable_run_file_counts_as_none(tmp_path: Path, content: str) -> None:
    files = ServerFiles(tmp_path)
    write_info(files)
    files.info_path.write_text(content)
    assert files.info() is None


def test_a_signal_misses_a_process_with_the_same_id_and_another_start(spawn: Spawn) -> None:
    child = spawn(SLEEP)
    sleeper = processes.find(child.pid)
    assert sleeper
    processes.send_signal(processes.Process(sleeper.pid, sleeper.start_ticks - 1), signal.SIGKILL)
    processes.send_signal(sleeper, signal.SIGTERM)
    assert child.wait(5) == -signal.SIGTERM


@pytest.mark.usefixtures("vectoray")  # kills what is left should this fail
def test_a_start_that_fails_ends_the_child_and_what_it_started(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLEEP, str(tmp_path)]
    family: set[processes.Process] = set()

    def fail_when_it_has_a_child() -> None:
        with started([sys.executable, "-c", f"import subprocess; subprocess.run({command})"]) as child:
            parent = processes.find(child.pid)
            assert parent
            while not processes.descendants(parent):
                assert child.poll() is None
            family.update({parent}, processes.descendants(parent))
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail_when_it_has_a_child()
    assert len(family) == 2
    assert not processes.living(family)


@pytest.mark.parametrize("directory", ["", "/", "//", "relative"])
def test_no_process_is_found_by_a_directory_that_every_command_could_name(directory: str) -> None:
    assert processes.mentioning(directory) == set()
    assert processes.writing_below(directory) == set()


def test_asking_for_the_lock_does_not_hide_it_from_another_who_asks(tmp_path: Path) -> None:
    files = ServerFiles(tmp_path)
    files.lock_path.parent.mkdir()
    with files.lock_path.open("w") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        assert not files.locked()


def test_status_tells_a_server_that_runs_from_none(running: Any, vectoray: Any) -> None:
    status = running("status")
    assert status.exit_code == 0
    assert "healthy" in status.stdout
    state = json.loads(running("status", "--json").stdout)
    assert (state["running"], state["healthy"], state["health"]["total_vectors"]) == (True, True, 5)

    nothing = vectoray("status", "--json")
    assert nothing.exit_code == 1
    assert json.loads(nothing.stdout)["running"] is False
