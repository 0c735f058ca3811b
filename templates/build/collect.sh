#!/bin/sh
# collect.sh ZEND_EXTENSION...: what the tree needs and is, as seen where it was compiled:
#   libraries/SONAME   every shared library that the loader finds for it
#   libraries.tsv      SONAME, distribution package, package version
#   extensions.tsv     extension, version, by asking the new PHP
set -eu

rm -rf libraries libraries.tsv extensions.tsv
mkdir libraries

package_of() { # PATH -> "PACKAGE<tab>VERSION"
    if command -v dpkg-query >/dev/null; then
        # On a merged /usr the loader's path and the one that dpkg recorded may differ by the prefix /usr.
        for path in "$1" "/usr$1" "${1#/usr}"; do
            owner=$(dpkg-query -S "$path" 2>/dev/null | head -n 1 | cut -d ' ' -f 1)
            if [ -n "$owner" ]; then
                dpkg-query -W -f '${source:Package}\t${Version}\n' "${owner%:}"
                return
            fi
        done
        printf 'unknown\t\n'
    else
        rpm -qf --qf '%{NAME}\t%{VERSION}-%{RELEASE}\n' "$1" 2>/dev/null | head -n 1 || printf 'unknown\t\n'
    fi
}

find tree -type f \( -path tree/bin/php -o -name '*.so' \) -exec ldd {} + |
    sed -n 's/^[[:space:]]*\([^ ]*\) => \(\/[^ ]*\) (.*/\1 \2/p' | sort -u |
    while read -r soname path; do
        file=$(readlink -f "$path")
        cp "$file" "libraries/$soname"
        printf '%s\t%s\n' "$soname" "$(package_of "$file")"
    done >libraries.tsv

for name in "$@"; do
    shift
    set -- "$@" -d "zend_extension=$PWD/tree/lib/php/extensions/$name.so"
done
tree/bin/php -n "$@" -r 'foreach (get_loaded_extensions() as $name) {
    printf("%s\t%s\n", $name, phpversion($name));
}
foreach (get_loaded_extensions(true) as $name) {
    printf("%s\t%s\n", $name, PHP_VERSION);
}' >extensions.tsv
