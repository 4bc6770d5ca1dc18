#!/bin/sh
# Makes the virtual environment .venv and installs Vectoray in it, editable, with the extras named as arguments:
#   scripts/install.sh server dev
# What is there is skipped at once, an interrupted run is started over, and two runs at a time take turns.
# PYTHON names the interpreter to use (default: python3).
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
venv=.venv
log=$venv/install.log
unfinished=$venv/.unfinished
torch=$(sed -n 's/^torch==/&/p' constraints.txt)

say() { printf '%s\n' "$*"; }
fail() {
    say "$*" >&2
    exit 1
}

# Shows how long a step takes: counting on a terminal, else a line every 15 seconds. Runs until it is killed.
count_seconds() {
    seconds=0
    while sleep 1; do
        seconds=$((seconds + 1))
        if [ -t 1 ]; then
            printf '\r  %s ... %s s' "$1" "$seconds"
        elif [ $((seconds % 15)) -eq 0 ]; then
            say "  $1 ... $seconds s"
        fi
    done
}

# step WHAT COMMAND...: runs the command, with its output in the log.
step() {
    what=$1
    shift
    started=$(date +%s)
    [ -t 1 ] || say "  $what ..."
    count_seconds "$what" &
    counter=$!
    # The command runs in the foreground: in the background it would not hear Ctrl-C.
    if "$@" >>"$log" 2>&1; then result=0; else result=$?; fi
    stop_counter
    if [ "$result" -ne 0 ]; then
        say "  $what: failed." >&2
        tail -n 15 "$log" >&2
        fail "The whole log is in $log. Run the same command again to start over."
    fi
    [ ! -t 1 ] || printf '\r\033[K'
    say "  $what: done in $(($(date +%s) - started)) s"
}

counter=
stop_counter() {
    if [ -n "$counter" ]; then
        kill "$counter" 2>/dev/null || true
        wait "$counter" 2>/dev/null || true
        counter=
    fi
}
trap stop_counter EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

pip_install() { "$venv/bin/python" -m pip install --disable-pip-version-check --no-input -c constraints.txt "$@"; }

# A stamp holds the sum of all that decides what is installed.
wanted=$(cat pyproject.toml constraints.txt scripts/install.sh | cksum)
is_installed() { [ ! -e "$unfinished" ] && [ "$(cat "$venv/.installed-$1" 2>/dev/null)" = "$wanted" ]; }
missing_extras() {
    for extra in "$@"; do
        is_installed "$extra" || printf '%s ' "$extra"
    done
}

[ -n "$(missing_extras "$@")" ] || exit 0

command -v "$python" >/dev/null || fail "Vectoray needs Python 3.11 or newer, and '$python' was not found."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Vectoray needs Python 3.11 or newer; '$python' is $("$python" -V 2>&1). Set PYTHON to a newer one."

# Held until this script ends. The script is its own lock file: it is there and is never replaced meanwhile.
exec 9<scripts/install.sh
if command -v flock >/dev/null && ! flock -n 9; then
    say "Another install is running; waiting for it."
    flock 9
fi
missing=$(missing_extras "$@")
[ -n "$missing" ] || exit 0

say "Installing Vectoray into $venv (the first time this downloads several hundred megabytes):"
if [ -e "$unfinished" ] || [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$venv"
    mkdir "$venv"
    touch "$unfinished"
    step "virtual environment" "$python" -m venv "$venv"
fi
touch "$unfinished"
: >"$log"
for extra in $missing; do
    if [ "$extra" = server ]; then
        # First and pinned: a machine that offers the small CPU build gets it.
        step "$torch" pip_install "$torch"
    fi
    step "vectoray[$extra]" pip_install -e ".[$extra]"
done
for extra in $missing; do
    say "$wanted" >"$venv/.installed-$extra"
done
rm "$unfinished"
