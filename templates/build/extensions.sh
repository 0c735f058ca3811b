#!/bin/sh
# extensions.sh [extension=NAME|zend_extension=NAME]...: asks PHP, with these loaded in this order, what it has:
#   extensions.tsv     extension, version
set -eu

php=tree/bin/php
if [ -e needs/php/tree/bin/php ]; then php=needs/php/tree/bin/php; fi
for option in "$@"; do
    shift
    for file in "$PWD/tree/lib/php/extensions/${option#*=}.so" "$PWD"/needs/*/tree/lib/php/extensions/"${option#*=}.so"; do
        if [ -e "$file" ]; then set -- "$@" -d "${option%%=*}=$file"; fi
    done
done
"$php" -n -d display_startup_errors=1 "$@" -r 'foreach (get_loaded_extensions() as $name) {
    printf("%s\t%s\n", $name, phpversion($name));
}
foreach (get_loaded_extensions(true) as $name) {
    printf("%s\t%s\n", $name, phpversion(strtolower($name)) ?: PHP_VERSION);
}' >extensions.tsv
