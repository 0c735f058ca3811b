#!/bin/sh
# php -l over all PHP that we write; tests hold the code itself to more.
set -eu

cd "$(dirname "$0")/.."
find templates examples tests \( -name dist -o -name vendor \) -prune -o \
    \( -name '*.php' -o -path 'templates/bootstrap/*/bootstrap' \) -type f -print |
    while read -r file; do
        php -n -l "$file" >/dev/null || { php -n -l "$file" >&2; exit 1; }
    done
echo "php -l: all good"
