"""Drives an HTTP server with wrk, a process of its own; a Lua script written here tells it what to send."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.bench.serving.drive import Drive

MISSING = (
    "wrk is not installed, and every figure comes from it: apt-get install wrk (or your system's package)."
)
# Slower answers count as none.
_TIMEOUT_S = 30

# Bodies are read before the clock starts. `done` runs in another Lua state, which sees the thread's by `get`.
_SCRIPT = """\
local threads, requests, statuses, at = {}, {}, {}, %(start)d

function setup(thread)
  table.insert(threads, thread)
end

function init()
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for line in io.lines(%(bodies)s) do
    table.insert(requests, wrk.format(nil, %(path)s, nil, line))
  end
  answered = statuses
end

function request()
  at = at %% #requests + 1
  return requests[at]
end
%(response)s
function done(summary, latency)
  local counts = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("answered")) do
      table.insert(counts, string.format("%%q: %%d", status, count))
    end
  end
  local errors = summary.errors
  local out = io.open(%(result)s, "w")
  out:write(string.format(
    '{"requests": %%d, "duration_us": %%d, "failed": %%d, "broken": %%d, ' ..
    '"p50_us": %%f, "p90_us": %%f, "p99_us": %%f, "max_us": %%f, "statuses": {%%s}}',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
    table.concat(counts, ", ")))
  out:close()
end
"""
# Only where it is needed: wrk hands every answer to Lua then, and gets slower.
_COUNT_STATUSES = """
function response(status)
  local key = tostring(status)
  statuses[key] = (statuses[key] or 0) + 1
end
"""


def is_installed() -> bool:
    """Whether there is a wrk."""
    return shutil.which("wrk") is not None


@dataclass(frozen=True, slots=True)
class Requests:
    """What is sent to one address, one body after the other, then from the first on again.

    Attributes:
        url: Scheme, host, port and path.
        bodies: A file with one JSON document a line.
        start: How many of them to leave out at first.
    """

    url: str
    bodies: Path
    start: int = 0

    def starting(self, start: int) -> "Requests":
        """The same from another body on."""
        return replace(self, start=start)


def write_bodies(path: Path, bodies: Iterable[bytes]) -> Path:
    """Write JSON documents as `Requests` takes them."""
    with path.open("wb") as file:
        for body in bodies:
            file.write(body + b"\n")
    return path


def drive(requests: Requests, *, connections: int, seconds: float, count_statuses: bool = False) -> Drive:
    """Send requests for some seconds.

    Args:
        requests: What to send.
        connections: How many send at the same time.
        seconds: Whole ones are what wrk can count.
        count_statuses: Tell them apart; costs wrk some of its speed.

    Raises:
        RuntimeError: wrk failed, for example because nobody listens.
    """
    result = requests.bodies.with_suffix(".result.json")
    script = requests.bodies.with_suffix(".lua")
    result.unlink(missing_ok=True)
    script.write_text(lua_script(requests, result, count_statuses=count_statuses))
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration"]
    command += [f"{max(1, round(seconds))}s", "--timeout", f"{_TIMEOUT_S}s", "--script", str(script)]
    ended = subprocess.run(
        [*command, requests.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 2 * _TIMEOUT_S,
    )
    if ended.returncode or not result.exists():
        said = (ended.stderr.strip() or ended.stdout.strip() or "nothing").splitlines()[-1]
        raise RuntimeError(f"wrk ended with status {ended.returncode} and said: {said}")
    return parse_result(json.loads(result.read_text()))


def lua_script(requests: Requests, result: Path, *, count_statuses: bool) -> str:
    """The script that makes wrk send these requests and write its result as JSON."""
    path = "/" + requests.url.split("://", 1)[1].partition("/")[2]
    return _SCRIPT % {
        # wrk makes one request before all others, to look at it, and does not send it.
        "start": requests.start - 1,
        # JSON's strings are Lua's, for paths without control characters.
        "bodies": json.dumps(str(requests.bodies.absolute()), ensure_ascii=False),
        "path": json.dumps(path, ensure_ascii=False),
        "result": json.dumps(str(result.absolute()), ensure_ascii=False),
        "response": _COUNT_STATUSES if count_statuses else "",
    }


def parse_result(found: dict[str, Any]) -> Drive:
    """What the script has written."""
    statuses = {int(status): count for status, count in found["statuses"].items()}
    if not statuses:
        statuses = {200: found["requests"] - found["failed"], 0: found["failed"]}
        statuses = {status: count for status, count in statuses.items() if count}
    good = sum(count for status, count in statuses.items() if 200 <= status < 300)
    return Drive(
        rate=1e6 * good / found["duration_us"],
        p50_ms=found["p50_us"] / 1000,
        p90_ms=found["p90_us"] / 1000,
        p99_ms=found["p99_us"] / 1000,
        max_ms=found["max_us"] / 1000,
        statuses=statuses,
        broken=found["broken"],
    )
