#!/bin/sh
# configure.sh FLAG...: runs PHP's configure inside its own tree; an out-of-tree run would record a path.
set -eu

cd php
# What PHP says of its own build comes from the sources, not from this machine or this moment.
SOURCE_DATE_EPOCH=$(stat -c %Y configure)
export SOURCE_DATE_EPOCH PHP_UNAME=Linux
export EXTENSION_DIR=/opt/lib/php/extensions
export CFLAGS=-O2 CXXFLAGS=-O2
# Pages of 4096 bytes: the linker would pad each segment to the largest page that the architecture allows.
export LDFLAGS='-Wl,-O1 -Wl,--as-needed -Wl,-z,common-page-size=4096 -Wl,-z,relro'
./configure "$@"
