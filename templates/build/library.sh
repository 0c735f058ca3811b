#!/bin/sh
# library.sh NAME GLIBC FLAG...: NAME/ -> library/, by its own configure: a static library whose symbols stay inside
# what it is linked into. needs/*/library/ are those it is made with.
set -eu

name=$1 glibc=$2
shift 2
sh pins.sh "$glibc" >pins.h
rm -rf library install
top=$PWD
PKG_CONFIG_PATH=
for need in "$top"/needs/*/library/lib/pkgconfig; do
    if [ -d "$need" ]; then PKG_CONFIG_PATH=$need:$PKG_CONFIG_PATH; fi
done
export PKG_CONFIG_PATH
SOURCE_DATE_EPOCH=$(stat -c %Y "$name/configure")
export SOURCE_DATE_EPOCH
flags="-O2 -fPIC -ffunction-sections -fdata-sections -fvisibility=hidden"
export CFLAGS="$flags -ffile-prefix-map=$top/= -include $top/pins.h"
cd "$name"
# Paths that a library records are those of the layer, not of this machine.
./configure --prefix=/opt --libdir=/opt/lib --sysconfdir=/etc --disable-shared --enable-static \
    --disable-dependency-tracking "$@"
# A patch to Makefile.am must not send make for automake: what it changes there are tests.
set -- AUTOMAKE=: ACLOCAL=: AUTOCONF=: AUTOHEADER=:
make -j "$PHPLAYER_JOBS" "$@"
make install DESTDIR="$top/install" "$@"
cd "$top"
mv install/opt library
rm -rf install
sh pkgconfig.sh
mkdir -p "licenses/$name"
find "$name" -maxdepth 1 -type f \( -iname 'LICENSE*' -o -iname 'COPYING*' -o -iname 'COPYRIGHT*' \) \
    -exec cp {} "licenses/$name/" \;
