#!/bin/sh
# Makes the virtual environment .venv from the locked requirements; does nothing when they are the same as before.
set -eu

cd "$(dirname "$0")/.."
wanted=$(cat requirements/dev.txt pyproject.toml scripts/setup.sh | sha256sum)
if [ "$(cat .venv/made-from 2>/dev/null)" = "$wanted" ]; then exit 0; fi

python=
for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "error: Python 3.11 or newer is needed. Install it, or name it: make PYTHON=/path/to/python" >&2
    exit 4
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    set -- apt-get install -y --no-install-recommends python3-venv
    if [ "$(id -u)" -ne 0 ]; then set -- sudo "$@"; fi
    echo "Python's venv module is missing: $*" >&2
    if ! command -v "$1" >/dev/null || ! "$@" >&2; then
        echo "error: run as root: apt-get install python3-venv (or your system's package of that kind)" >&2
        exit 4
    fi
fi

echo "Making .venv ..." >&2
"$python" -m venv --clear .venv
.venv/bin/pip install --quiet --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
.venv/bin/pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
printf '%s\n' "$wanted" >.venv/made-from
