#!/bin/sh
# pkgconfig.sh: makes library/lib/pkgconfig/*.pc movable, and lets them tell all that a static library is linked with.
set -eu

rm -rf library/bin library/share library/lib/*.la library/lib/cmake
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
