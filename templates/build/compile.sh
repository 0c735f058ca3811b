#!/bin/sh
# compile.sh GLIBC: make, after telling how many files there are to compile; for a target that has GLIBC.
set -eu

sh pins.sh "$1" >pins.h
cd php
SOURCE_DATE_EPOCH=$(stat -c %Y configure)
export SOURCE_DATE_EPOCH
# An object that a killed compiler left half-written must not be linked.
if [ -e ../compile.started ]; then make clean >/dev/null; fi
touch ../compile.started
# Paths in the objects become relative; in this form they are the same with and without ccache, which shortens them too.
flags="-ffile-prefix-map=$PWD/= -include ../pins.h"
echo "to compile: $(make -n EXTRA_CFLAGS="$flags" EXTRA_CXXFLAGS="$flags" | grep -c -e --mode=compile)"
exec make -j "$PHPLAYER_JOBS" EXTRA_CFLAGS="$flags" EXTRA_CXXFLAGS="$flags"
