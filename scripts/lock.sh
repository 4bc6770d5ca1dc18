#!/bin/sh
# Writes constraints.txt: the exact version of everything the virtual environment holds.
set -eu
cd "$(dirname "$0")/.."

python=.venv/bin/python
if [ ! -x "$python" ]; then
    echo "There is no virtual environment to read; run 'make install' first." >&2
    exit 1
fi

{
    echo "# The versions Vectoray is built and tested with. Written by 'make lock'; pip install -c constraints.txt"
    # Build tools and the project itself are not constrained. A local version such as "+cpu" names one build
    # of a release; which build is right depends on the machine.
    "$python" -m pip freeze --exclude-editable --exclude vectoray --exclude setuptools --exclude hatchling \
        --exclude trove-classifiers | sed 's/+[A-Za-z0-9.]*$//' | LC_ALL=C sort -f
} > constraints.txt.part
mv constraints.txt.part constraints.txt
echo "constraints.txt: $(grep -c == constraints.txt) versions"
