#!/usr/bin/env bash
# All tests that fit into CI, in three groups side by side: two of them mostly wait for compilers.
# A test that failed beside the others runs once more by itself. When it passes then, it is named as not steady, which is
# a defect to be corrected, and the run goes on; more than three of a group are a failure.
set -euo pipefail
set -m # or what runs beside would not hear Ctrl-C, and some tests are about that

cd "$(dirname "$0")/.."
logs=.work/tests
mkdir -p "$logs"
# All may install packages.
printf 'DPkg::Lock::Timeout "900";\n' >.work/apt.conf
export APT_CONFIG=$PWD/.work/apt.conf

declare -A groups=(
    [docker]='docker and not slow'
    [compiles]='compiles and not slow'
    [rest]='not docker and not compiles and not slow'
)
declare -A running=()
declare -A failed=()

group() { # NAME [ARGUMENT...]
    .venv/bin/pytest -m "${groups[$1]}" -o cache_dir="$logs/$1" "${@:2}"
}

finish() { # NAME: wait for it and note how it ended
    local status=0
    wait "${running[$1]}" || status=$?
    unset "running[$1]"
    if [ "$status" -ne 0 ]; then failed[$1]=$status; fi
}

trap 'for name in "${!running[@]}"; do kill -- "-${running[$name]}" 2>/dev/null || true; done' EXIT
for name in docker compiles; do
    group "$name" >"$logs/$name.log" 2>&1 &
    running[$name]=$!
done
status=0
group rest || failed[rest]=$?
for name in docker compiles; do
    finish "$name"
    printf '\nTests of the group %s:\n' "$name"
    cat "$logs/$name.log"
done

for name in "${!failed[@]}"; do
    found=$logs/$name/v/cache/lastfailed
    # 1 is pytest's code for tests that failed; whatever else happened is not a test's unsteadiness.
    if [ "${failed[$name]}" -ne 1 ] || [ ! -f "$found" ] || [ "$(grep -c ': true' "$found")" -gt 3 ]; then
        status=1
        continue
    fi
    unsteady=$(sed -n 's/^ *"\(.*\)": true,*$/\1/p' "$found")
    printf '\nTests of the group %s that failed, once more by themselves:\n' "$name"
    if group "$name" --last-failed --last-failed-no-failures none; then
        printf '\nNOT STEADY: failed beside the others, passed by itself:\n%s\n' "$unsteady"
    else
        status=1
    fi
done
exit "$status"
