#!/bin/sh
# collect.sh NAME: what the tree needs and is, as seen where it was compiled from NAME/:
#   libraries/SONAME   every shared library that the loader finds for it
#   libraries.tsv      SONAME, distribution package, package version
#   pinned.tsv         the functions that were linked at an older version, FUNCTION@VERSION
#   licenses/          NAME/ and a folder for each of those packages
#   os-release         of the system it was compiled on
set -eu

name=$1
rm -rf libraries libraries.tsv pinned.tsv licenses os-release
mkdir -p libraries "licenses/$name"

owner_of() { # PATH -> the binary package
    # On a merged /usr the loader's path and the one that dpkg recorded may differ by the prefix /usr.
    for path in "$1" "/usr$1" "${1#/usr}"; do
        owner=$(dpkg-query -S "$path" 2>/dev/null | head -n 1 | cut -d ' ' -f 1)
        if [ -n "$owner" ]; then
            echo "${owner%:}"
            return
        fi
    done
}

describe() { # PATH -> "PACKAGE<tab>VERSION"; the package's licence goes into licenses/PACKAGE/
    if command -v dpkg-query >/dev/null; then
        owner=$(owner_of "$1")
        if [ -z "$owner" ]; then
            printf 'unknown\t\n'
            return
        fi
        line=$(dpkg-query -W -f '${source:Package}\t${Version}' "$owner")
        printf '%s\n' "$line"
        package=${line%%"$(printf '\t')"*}
        mkdir -p "licenses/$package"
        cp -L "/usr/share/doc/${owner%%:*}/copyright" "licenses/$package/copyright" 2>/dev/null || rmdir "licenses/$package"
    else
        line=$(rpm -qf --qf '%{NAME}\t%{VERSION}-%{RELEASE}\n' "$1" 2>/dev/null | head -n 1) || line=
        if [ -z "$line" ]; then line=$(printf 'unknown\t'); fi
        printf '%s\n' "$line"
        package=${line%%"$(printf '\t')"*}
        rpm -qL "$package" 2>/dev/null | while read -r file; do
            if [ -f "$file" ]; then
                mkdir -p "licenses/$package"
                cp -L "$file" "licenses/$package/"
            fi
        done
    fi
}

find tree -type f \( -path 'tree/bin/*' -o -name '*.so' \) -exec ldd {} + |
    sed -n 's/^[[:space:]]*\([^ ]*\) => \(\/[^ ]*\) (.*/\1 \2/p' | sort -u |
    while read -r soname path; do
        file=$(readlink -f "$path")
        cp "$file" "libraries/$soname"
        printf '%s\t%s\n' "$soname" "$(describe "$file")"
    done >libraries.tsv

# What was pinned and is really used.
sed -n 's/.*\.symver [^,]*, \([^"]*\)".*/\1/p' pins.h | sort >pins.txt
find tree -type f \( -path 'tree/bin/*' -o -name '*.so' \) -exec readelf --wide --dyn-syms {} + |
    awk '$7 == "UND" { print $8 }' | sort -u | comm -12 pins.txt - >pinned.tsv

find "$name" -maxdepth 1 -type f \( -iname 'LICENSE*' -o -iname 'COPYING*' -o -iname 'COPYRIGHT*' -o -iname 'NOTICE*' \) \
    -exec cp {} "licenses/$name/" \;
# What PHP has within itself of others.
find "$name"/Zend "$name"/TSRM "$name"/ext -type f \( -name LICENSE -o -name LICENSE.rst -o -name COPYING \) 2>/dev/null |
    while read -r file; do
        part=${file#"$name"/}
        cp "$file" "licenses/$name/$(dirname "$part" | tr / -).$(basename "$file")"
    done
rmdir "licenses/$name" 2>/dev/null || true
chmod -R u=rwX,go=rX licenses
cp -L /etc/os-release os-release
