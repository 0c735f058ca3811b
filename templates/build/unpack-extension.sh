#!/bin/sh
# unpack-extension.sh NAME FOLDER: source.tar -> NAME/: FOLDER of it, or where FOLDER is empty the one with config.m4
set -eu

name=$1 folder=$2
rm -rf "$name" unpacked
mkdir unpacked
tar -xf source.tar -C unpacked --no-same-owner
if [ -z "$folder" ]; then
    folder=$(cd unpacked && find . -name config.m4 | awk -F/ '{ print NF, $0 }' | sort -n | sed -n '1s/^[0-9]* //p')
    if [ -z "$folder" ]; then
        echo "error: the source of $name has no config.m4: it is no extension of PHP" >&2
        exit 1
    fi
    folder=$(dirname "$folder")
fi
mv "unpacked/$folder" "$name"
rm -rf unpacked
