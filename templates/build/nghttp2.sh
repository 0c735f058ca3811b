#!/bin/sh
# nghttp2.sh NAME GLIBC: NAME/ -> library/. What the archive has of its build takes CMake or autotools; the library
# alone is some thirty C files.
set -eu

name=$1 glibc=$2
sh pins.sh "$glibc" >pins.h
rm -rf library objects
mkdir -p library/include/nghttp2 library/lib/pkgconfig objects "licenses/$name"
version=$(sed -n 's/^AC_INIT(\[nghttp2\], \[\([0-9.]*\)\].*/\1/p' "$name/configure.ac")
number=$(echo "$version" | awk -F. '{ printf "0x%02x%02x%02x", $1, $2, $3 }')
cp "$name/lib/includes/nghttp2/nghttp2.h" library/include/nghttp2/
sed -e "s/@PACKAGE_VERSION@/$version/" -e "s/@PACKAGE_VERSION_NUM@/$number/" \
    "$name/lib/includes/nghttp2/nghttp2ver.h.in" >library/include/nghttp2/nghttp2ver.h
for file in "$name"/lib/*.c; do
    printf '%s\0' "$file"
done | xargs -0 -n 1 -P "$PHPLAYER_JOBS" sh -c '
    object=objects/$(basename "$1" .c).o
    exec cc -O2 -fPIC -ffunction-sections -fdata-sections -fvisibility=hidden -ffile-prefix-map="$PWD/"= \
        -include pins.h -DNGHTTP2_STATICLIB -DHAVE_ARPA_INET_H -DHAVE_NETINET_IN_H -DHAVE_CLOCK_GETTIME \
        -DHAVE_DECL_CLOCK_MONOTONIC=1 -Ilibrary/include -I"$0/lib/includes" -I"$0/lib" -c "$1" -o "$object"
' "$name"
ar rcsD library/lib/libnghttp2.a objects/*.o
cat >library/lib/pkgconfig/libnghttp2.pc <<END
prefix=\${pcfiledir}/../..
Name: libnghttp2
Description: HTTP/2
Version: $version
Libs: -L\${prefix}/lib -lnghttp2
Cflags: -I\${prefix}/include -DNGHTTP2_STATICLIB
END
cp "$name/COPYING" "licenses/$name/"
