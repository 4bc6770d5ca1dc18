#!/usr/bin/env bash
# What takes too long for every change: long runs of the crash tests, and the mutations that prove them.
# Runs all parts whatever becomes of the others, then says how each ended.
set -uo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
summary=()
failed=0

part() {
  local name=$1 started=$SECONDS ended=passed
  shift
  printf '\n== %s ==\n' "$name"
  "$@" || { ended=FAILED; failed=1; }
  summary+=("$(printf '%-14s %s, %d s' "$name" "$ended" $((SECONDS - started)))")
}

nightly() {
  # -s: the tests say how many steps and kills there were. The storage's warnings are of no interest here.
  "$python" -m pytest -q -s --no-header --hypothesis-profile=nightly "$@" 2>/dev/null |
    grep -Ev '\[(warning|info) '
}

part "state machine" nightly tests/unit/storage/test_state_machine.py
part "kills" nightly tests/integration/test_shard_owner_loss.py
part "loss of power" nightly tests/unit/storage/test_power_loss.py
part "mutations" "$python" -m scripts.mutations

printf '\n'
printf '%s\n' "${summary[@]}"
exit "$failed"
