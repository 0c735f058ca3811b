#!/bin/sh
# sqlite.sh NAME GLIBC: NAME/ -> library/, from the sources before they were put into one file.
set -eu

name=$1 glibc=$2
sh pins.sh "$glibc" >pins.h
rm -rf library
mkdir -p library/include library/lib/pkgconfig "licenses/$name"
cd "$name"
./configure --disable-shared --disable-readline --disable-tcl
make sqlite3.c sqlite3.h
cd ..
cc -O2 -fPIC -ffunction-sections -fdata-sections -fvisibility=hidden -ffile-prefix-map="$PWD/"= -include pins.h \
    -DSQLITE_THREADSAFE=1 -DSQLITE_ENABLE_COLUMN_METADATA -DSQLITE_ENABLE_DBSTAT_VTAB -DSQLITE_ENABLE_FTS3 \
    -DSQLITE_ENABLE_FTS3_PARENTHESIS -DSQLITE_ENABLE_FTS4 -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_MATH_FUNCTIONS \
    -DSQLITE_ENABLE_RTREE -DSQLITE_ENABLE_SESSION -DSQLITE_ENABLE_PREUPDATE_HOOK -DSQLITE_ENABLE_UNLOCK_NOTIFY \
    -DSQLITE_SECURE_DELETE -DSQLITE_MAX_VARIABLE_NUMBER=250000 -DHAVE_USLEEP -DHAVE_LOCALTIME_R -DHAVE_GMTIME_R \
    -c "$name/sqlite3.c" -o sqlite3.o
ar rcsD library/lib/libsqlite3.a sqlite3.o
cp "$name/sqlite3.h" "$name/src/sqlite3ext.h" library/include/
cat >library/lib/pkgconfig/sqlite3.pc <<END
prefix=\${pcfiledir}/../..
Name: SQLite
Description: SQL database engine
Version: $(cat "$name/VERSION")
Libs: -L\${prefix}/lib -lsqlite3 -lm -ldl -lpthread
Cflags: -I\${prefix}/include
END
cp "$name/LICENSE.md" "licenses/$name/"
