#!/bin/sh
# unpack.sh: source.tar.xz -> php/
set -eu

rm -rf php
mkdir php
tar -xJf source.tar.xz -C php --strip-components=1 --no-same-owner
