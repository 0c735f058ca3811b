#!/usr/bin/env bash
# All tests that fit into CI. Those that need a Docker daemon run beside the others: they mostly wait for its compiler.
set -euo pipefail
set -m # or what runs beside would not hear Ctrl-C, and some tests are about that

cd "$(dirname "$0")/.."
mkdir -p .work
log=.work/docker-tests.log
# Both may install packages.
printf 'DPkg::Lock::Timeout "900";\n' >.work/apt.conf
export APT_CONFIG=$PWD/.work/apt.conf

.venv/bin/pytest -m 'docker and not slow' >"$log" 2>&1 &
docker=$!
trap 'kill -- -"$docker" 2>/dev/null || true' EXIT
status=0
.venv/bin/pytest -m 'not docker and not slow' || status=$?
wait "$docker" || status=$?
printf '\nTests with a Docker daemon:\n'
cat "$log"
exit "$status"
