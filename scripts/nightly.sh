#!/usr/bin/env bash
# What takes too long for every change: long runs of the crash tests, and the mutations that prove them.
# Runs all parts whatever becomes of the others, then says how each ended.
set -uo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# Runs a part; leaves what it said, and how it ended.
part() {
  local name=$1 started=$SECONDS ended=passed
  shift
  "$@" >"$logs/$name.out" 2>&1 || ended=FAILED
  printf '%-14s %s, %d s\n' "$name" "$ended" $((SECONDS - started)) >"$logs/$name.end"
  printf '\n== %s ==\n%s\n' "$name" "$(cat "$logs/$name.out")"
}

nightly() {
  # -s: the tests say how many steps and kills there were. The storage's log, in colour, is of no interest here.
  "$python" -m pytest -q -s --no-header --hypothesis-profile=nightly "$@" 2>/dev/null | grep -av $'\e\['
}

# Two at a time, which takes two cores about forty minutes.
{
  part "state-machine" nightly tests/unit/storage/test_state_machine.py
  part "kills" nightly tests/integration/test_shard_owner_loss.py
} &
part "power-loss" nightly tests/unit/storage/test_power_loss.py
part "bulk-loads" nightly tests/integration/test_loads.py
part "mutations" "$python" -m scripts.mutations
wait

printf '\n'
cat "$logs"/*.end
! grep -q FAILED "$logs"/*.end
