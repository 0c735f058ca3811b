#!/bin/sh
# configure.sh FLAG...: runs PHP's configure inside its own tree; an out-of-tree run would record a path. The libraries
# in needs/*/library/ come before the system's.
set -eu

cd php
# What PHP says of its own build comes from the sources, not from this machine or this moment.
SOURCE_DATE_EPOCH=$(stat -c %Y configure)
export SOURCE_DATE_EPOCH PHP_UNAME=Linux
export EXTENSION_DIR=/opt/lib/php/extensions
export CFLAGS=-O2 CXXFLAGS=-O2
# Pages of 4096 bytes: the linker would pad each segment to the largest page that the architecture allows, and PHP's
# own configure to 2 MB. Of static libraries only what is used goes in, and none of it can be seen from outside.
LDFLAGS='-Wl,-O1 -Wl,--as-needed -Wl,-z,common-page-size=4096 -Wl,-z,relro -Wl,--gc-sections -Wl,--exclude-libs,ALL'
export php_cv_have_common_page_size=no php_cv_have_max_page_size=no
PKG_CONFIG_PATH=
for need in ../needs/*/library/lib; do
    if [ -d "$need" ]; then
        PKG_CONFIG_PATH=$need/pkgconfig:$PKG_CONFIG_PATH
        LDFLAGS="$LDFLAGS -L$need"
    fi
done
export LDFLAGS PKG_CONFIG_PATH
./configure "$@"
