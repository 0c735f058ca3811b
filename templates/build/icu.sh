#!/bin/sh
# icu.sh LOCALE...: libraries/libicudata.so.N with the data of these locales only, cut from the base's own library. A
# language (en) brings its regions (en_GB), a region its language. Time zones, currencies, normalisation, collation
# of the root and the dictionaries for line breaks stay: ICU's tools let nothing go that root refers to.
set -eu

rm -rf libraries icu
mkdir -p libraries icu/out
library=$(readlink -f "$(cc -print-file-name=libicudata.so)")
soname=$(readelf -d "$library" | sed -n 's/.*(SONAME).*\[\(.*\)\].*/\1/p')
PATH=$PATH:/usr/sbin # where icupkg lies

# The data is one symbol of a read-only section.
symbol=$(readelf --wide --dyn-syms "$library" | awk '$8 ~ /^icudt[0-9]+_dat$/ { print $8; exit }')
value=$(readelf --wide --dyn-syms "$library" | awk -v name="$symbol" '$8 == name { print $2; exit }')
section=$(readelf --wide --dyn-syms "$library" | awk -v name="$symbol" '$8 == name { print $7; exit }')
# shellcheck disable=SC2046  # words are what is wanted: address and offset of the section
set -- $(readelf --wide --sections "$library" | sed -n "s/^ *\[ *$section\] *[^ ]* *[^ ]* *\([0-9a-f]*\) *\([0-9a-f]*\) .*/\1 \2/p") "$@"
offset=$((0x$value - 0x$1 + 0x$2))
shift 2
version=${symbol#icudt}
data=icudt${version%_dat}l.dat
tail -c "+$((offset + 1))" "$library" >"icu/$data"

icupkg -l "icu/$data" >icu/items.txt
# Items of locales have a language's code for a name; all others are for all.
awk -v chosen="$*" '
    function wanted(name, i) {
        for (i = 1; i <= count; i++)
            if (name == locale[i] || index(name "_", locale[i] "_") == 1 || index(locale[i] "_", name "_") == 1)
                return 1
        return 0
    }
    BEGIN { count = split(chosen, locale, " ") }
    {
        name = $0
        sub(/.*\//, "", name)
        if (name !~ /^[a-z][a-z][a-z]?(_[A-Z][a-z][a-z][a-z])?(_([A-Z][A-Z]|[0-9][0-9][0-9]))?(_[A-Z]+)*\.res$/) next
        sub(/\.res$/, "", name)
        print >(wanted(name) ? "icu/keep.txt" : "icu/remove.txt")
    }' icu/items.txt
for locale in "$@"; do
    if ! grep -qx "$locale.res" icu/keep.txt; then
        echo "error: ICU has no locale $locale" >&2
        exit 1
    fi
done

# What a locale that stays takes from another (its parent, its alias) has to stay too; icupkg names it.
while ! icupkg -r icu/remove.txt "icu/$data" "icu/out/$data" >icu/said 2>&1; do
    grep -o 'depends on missing item [^ ]*\|missing dependency [^ ]*' icu/said | sed "s/.* //; s/^icudt[^/]*\///" | sort -u >icu/more.txt
    if ! grep -qxFf icu/more.txt icu/remove.txt; then
        cat icu/said >&2
        exit 1
    fi
    grep -vxFf icu/more.txt icu/remove.txt >icu/rest.txt || true
    mv icu/rest.txt icu/remove.txt
    cat icu/more.txt >>icu/keep.txt
done

# Each tree says which locales it has.
sed -n 's/res_index\.res$//p' icu/items.txt | while read -r tree || [ -n "$tree" ]; do
    mkdir -p "icu/index/$tree"
    {
        echo 'res_index:table(nofallback) {'
        echo '    InstalledLocales {'
        sed -n "s|^$tree\([^/]*\)\.res\$|        \1 {\"\"}|p" icu/keep.txt | sort -u
        echo '    }'
        echo '}'
    } >"icu/index/${tree}res_index.txt"
    genrb -k -q -d "icu/index/$tree" "icu/index/${tree}res_index.txt"
    echo "${tree}res_index.res" >>icu/indexes.txt
done
icupkg -a icu/indexes.txt -s icu/index "icu/out/$data"

cat >icu/data.s <<END
        .section .note.GNU-stack,"",%progbits
        .section .rodata
        .balign 16
        .globl $symbol
        .type $symbol, %object
$symbol:
        .incbin "icu/out/$data"
        .size $symbol, . - $symbol
END
cc -shared -nostdlib -Wl,-soname,"$soname" -Wl,-z,common-page-size=4096 -Wl,--build-id=none -o "libraries/$soname" icu/data.s
strip --strip-unneeded "libraries/$soname"
