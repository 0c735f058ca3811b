#!/bin/sh
# librabbitmq.sh NAME GLIBC: NAME/ -> library/. Its own build takes a newer CMake than every base has; the library
# alone is a dozen C files.
set -eu

name=$1 glibc=$2
sh pins.sh "$glibc" >pins.h
rm -rf library objects
mkdir -p library/include library/lib/pkgconfig objects "licenses/$name"
define() { sed -n "s/^#define AMQP_VERSION_$1 \([0-9]*\).*/\1/p" "$name/include/rabbitmq-c/amqp.h"; }
version=$(define MAJOR).$(define MINOR).$(define PATCH)
cp -R "$name"/include/. library/include/
cat >library/include/rabbitmq-c/export.h <<END
#ifndef AMQP_EXPORT_H
#define AMQP_EXPORT_H
#define AMQP_EXPORT
#define AMQP_NO_EXPORT
#define AMQP_DEPRECATED __attribute__((__deprecated__))
#define AMQP_DEPRECATED_EXPORT AMQP_DEPRECATED
#endif
END
cat >objects/config.h <<END
#define HAVE_POLL
#define AMQ_PLATFORM "Linux"
END
for file in "$name"/librabbitmq/*.c; do
    printf '%s\0' "$file"
done | xargs -0 -n 1 -P "$PHPLAYER_JOBS" sh -c '
    object=objects/$(basename "$1" .c).o
    exec cc -O2 -fPIC -ffunction-sections -fdata-sections -fvisibility=hidden -ffile-prefix-map="$PWD/"= \
        -include pins.h -DHAVE_CONFIG_H -DAMQP_STATIC -D_GNU_SOURCE -Iobjects -Ilibrary/include -I"$0/librabbitmq" \
        -I"$0/librabbitmq/unix" -c "$1" -o "$object"
' "$name"
ar rcsD library/lib/librabbitmq.a objects/*.o
cat >library/lib/pkgconfig/librabbitmq.pc <<END
prefix=\${pcfiledir}/../..
Name: rabbitmq-c
Description: AMQP
Version: $version
Requires: libssl, libcrypto
Libs: -L\${prefix}/lib -lrabbitmq -lpthread
Cflags: -I\${prefix}/include -DAMQP_STATIC
END
cp "$name/LICENSE" "licenses/$name/"
