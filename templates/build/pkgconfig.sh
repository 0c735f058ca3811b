#!/bin/sh
# pkgconfig.sh: makes what tells of a library movable, library/lib/pkgconfig/*.pc and library/bin/*-config, and lets it
# tell all that a static library is linked with.
set -eu

rm -rf library/share library/lib/*.la library/lib/cmake
for file in library/bin/*; do
    case $file in
        *-config)
            # shellcheck disable=SC2016  # the script's own variables
            sed -i '1a library=$(cd "$(dirname "$0")/.." \&\& pwd)
                s|^\(exec_\)\{0,1\}prefix=.*|\1prefix=$library|; s|/opt|$library|g' "$file"
            ;;
        *) rm -f "$file" ;;
    esac
done
for file in library/lib/pkgconfig/*.pc; do
    awk -v home=/opt '
        { while (at = index($0, home)) $0 = substr($0, 1, at - 1) "${prefix}" substr($0, at + length(home)) }
        /^prefix=/ { print "prefix=${pcfiledir}/../.."; next }
        /^Libs(\.private)?:/ { sub(/^[^:]*:/, ""); libs = libs $0; next }
        /^Requires(\.private)?:/ { sub(/^[^:]*:/, ""); if ($0 ~ /[a-z]/) requires = requires (requires == "" ? "" : ",") $0; next }
        { print }
        END {
            gsub(/-L\/[^ ]*/, "", libs) # of needs: each has a file of its own
            print "Requires:" requires
            print "Libs:" libs
        }' "$file" >"$file.new"
    mv "$file.new" "$file"
done
