#!/bin/sh
# pins.sh GLIBC: prints a header that links functions at older versions than the newest that this glibc has, where the
# newest is beyond GLIBC (2.34) and an older one is not. Such a version is in every later glibc too.
set -eu

echo '#ifndef __ASSEMBLER__'
for library in libc.so.6 libm.so.6; do
    readelf --wide --dyn-syms "$(cc -print-file-name="$library")"
done | awk -v limit="GLIBC_$1" '
    function number(version, part) {
        split(substr(version, 7), part, ".")
        return part[1] * 1000000 + part[2] * 1000 + part[3]
    }
    $4 ~ /^I?FUNC$/ && $5 != "LOCAL" && $8 ~ /@GLIBC_[0-9.]+$/ {
        split($8, half, /@+/)
        if ($8 ~ /@@/) newest[half[1]] = half[2]
        else if (number(half[2]) <= number(limit) && number(half[2]) > number(older[half[1]])) older[half[1]] = half[2]
    }
    END {
        for (name in newest)
            if (number(newest[name]) > number(limit) && name in older && older[name] != "")
                printf "__asm__(\".symver %s, %s@%s\");\n", name, name, older[name]
    }' | sort
echo '#endif'
