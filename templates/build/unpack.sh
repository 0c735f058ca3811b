#!/bin/sh
# unpack.sh FOLDER PATCH...: source.tar -> FOLDER/, with those of Debian's patches (patches.tar) that are named
set -eu

folder=$1
shift
rm -rf "$folder" debian
mkdir "$folder"
tar -xf source.tar -C "$folder" --strip-components=1 --no-same-owner
if [ $# -gt 0 ]; then
    tar -xf patches.tar --no-same-owner
    for name in "$@"; do
        patch -d "$folder" -p1 --no-backup-if-mismatch <"debian/patches/$name"
    done
fi
