#!/bin/sh
# install.sh SAPI...: php/ -> tree/, which becomes /opt, and sdk/: what extensions are compiled against.
set -eu

rm -rf install tree sdk
mkdir -p tree/bin tree/lib/php/extensions tree/etc/php/conf.d
make -C php install-cli install-modules install-build install-headers install-programs INSTALL_ROOT="$PWD/install"
mv install/opt/bin/php tree/bin/php
for sapi in "$@"; do
    if [ "$sapi" != cli ]; then
        make -C php "install-$sapi" INSTALL_ROOT="$PWD/install"
        mv "install/opt/sbin/php-$sapi" tree/bin/
    fi
done
for module in install/opt/lib/php/extensions/*.so; do
    if [ -e "$module" ]; then mv "$module" tree/lib/php/extensions/; fi
done
mkdir -p sdk/bin sdk/lib/php
mv install/opt/bin/phpize install/opt/bin/php-config sdk/bin/
mv install/opt/lib/php/build sdk/lib/php/
mv install/opt/include sdk/
rm -rf install
strip --strip-all tree/bin/*
find tree -name '*.so' -exec strip --strip-unneeded {} +
