#!/bin/sh
# extension.sh NAME GLIBC FLAG...: NAME/ -> tree/lib/php/extensions/NAME.so and sdk/include/, by phpize, against the PHP
# in needs/php/ and with the headers of the extensions in needs/*/sdk/.
set -eu

name=$1 glibc=$2
shift 2
sh pins.sh "$glibc" >pins.h
rm -rf php-sdk install tree sdk
mkdir php-sdk
for need in needs/*/sdk; do
    cp -R "$need/." php-sdk/
done
sdk=$PWD/php-sdk
sed -i "s|^prefix=.*|prefix='$sdk'|; s|^extension_dir=.*|extension_dir='/opt/lib/php/extensions'|;
    s|^include_dir=.*|include_dir='$sdk/include/php'|; s|php_cli_binary=.*|php_cli_binary='$PWD/needs/php/tree/bin/php'|" \
    php-sdk/bin/php-config php-sdk/bin/phpize
sed -i "s|^datarootdir=.*|datarootdir='$sdk'|" php-sdk/bin/php-config php-sdk/bin/phpize

cd "$name"
# Date and machine go into no object.
SOURCE_DATE_EPOCH=$(stat -c %Y config.m4)
export SOURCE_DATE_EPOCH
if [ -e Makefile ]; then make distclean >/dev/null; fi
"$sdk/bin/phpize"
export PHP_RPATH=no # what --disable-rpath is to PHP's own configure
flags="-O2 -ffile-prefix-map=$PWD/= -ffile-prefix-map=$sdk/=php/ -include ../pins.h"
# libm after the objects: a function that is pinned needs its library, which extensions leave to PHP.
LDFLAGS='-Wl,-O1 -Wl,--as-needed -Wl,-z,common-page-size=4096 -Wl,-z,relro -Wl,--gc-sections -Wl,--exclude-libs,ALL -lm'
PKG_CONFIG_PATH=
for need in "$PWD"/../needs/*/library/lib; do
    if [ -d "$need" ]; then
        PKG_CONFIG_PATH=$need/pkgconfig:$PKG_CONFIG_PATH
        LDFLAGS="$LDFLAGS -L$need"
        PATH=${need%/lib}/bin:$PATH
    fi
done
export LDFLAGS PATH PKG_CONFIG_PATH CFLAGS="$flags" CXXFLAGS="$flags"
./configure --with-php-config="$sdk/bin/php-config" "$@"
make -j "$PHPLAYER_JOBS"
make install INSTALL_ROOT="$PWD/../install"
cd ..
mkdir -p tree/lib/php/extensions sdk/include
mv install/opt/lib/php/extensions/*.so tree/lib/php/extensions/
if [ -d "install$sdk/include" ]; then mv "install$sdk/include/php" sdk/include/; fi
rm -rf install
find tree -name '*.so' -exec strip --strip-unneeded {} +
