#!/bin/sh
# compile.sh FUNCTION@VERSION...: make, after telling how many files there are to compile. The functions are linked
# at the versions given instead of the newest that this glibc has.
set -eu

cd php
SOURCE_DATE_EPOCH=$(stat -c %Y configure)
export SOURCE_DATE_EPOCH
# An object that a killed compiler left half-written must not be linked.
if [ -e ../compile.started ]; then make clean >/dev/null; fi
touch ../compile.started
{
    echo '#ifndef __ASSEMBLER__'
    for pin in "$@"; do
        printf '__asm__(".symver %s, %s");\n' "${pin%@*}" "$pin"
    done
    echo '#endif'
} >pins.h
# Paths in the objects become relative; in this form they are the same with and without ccache, which shortens them too.
flags="-ffile-prefix-map=$PWD/= -include $PWD/pins.h"
echo "to compile: $(make -n EXTRA_CFLAGS="$flags" EXTRA_CXXFLAGS="$flags" | grep -c -e --mode=compile)"
exec make -j "$PHPLAYER_JOBS" EXTRA_CFLAGS="$flags" EXTRA_CXXFLAGS="$flags"
