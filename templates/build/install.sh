#!/bin/sh
# install.sh: php/ -> tree/, which becomes /opt.
set -eu

rm -rf install tree
make -C php install-cli install-modules INSTALL_ROOT="$PWD/install"
mkdir -p tree/bin tree/lib/php/extensions tree/etc/php/conf.d
mv install/opt/bin/php tree/bin/php
for module in install/opt/lib/php/extensions/*.so; do
    if [ -e "$module" ]; then mv "$module" tree/lib/php/extensions/; fi
done
rm -rf install
strip --strip-all tree/bin/php
find tree -name '*.so' -exec strip --strip-unneeded {} +
