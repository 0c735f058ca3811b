"""An extension of the tests' own, in a tarball as PECL's are."""

from __future__ import annotations

import io
import tarfile
import uuid
from pathlib import Path

_FILES = {
    "tiny-1.2/LICENSE": "Do with it what you like.\n",
    "tiny-1.2/config.m4": """
PHP_ARG_ENABLE([tiny], [for tiny], [AS_HELP_STRING([--enable-tiny], [Enable tiny])])
if test "$PHP_TINY" != "no"; then
  PHP_NEW_EXTENSION([tiny], [tiny.c], [$ext_shared])
fi
""",
    "tiny-1.2/tiny.c": """
#include <math.h>
#include "php.h"

ZEND_BEGIN_ARG_INFO_EX(arginfo, 0, 0, 2)
    ZEND_ARG_INFO(0, a)
    ZEND_ARG_INFO(0, b)
ZEND_END_ARG_INFO()

PHP_FUNCTION(tiny)
{
    double a, b;
    if (zend_parse_parameters(ZEND_NUM_ARGS(), "dd", &a, &b) == FAILURE) {
        RETURN_THROWS();
    }
    RETURN_DOUBLE(hypot(a, b)); /* which newer glibc have at a version that Lambda has not */
}

static const zend_function_entry functions[] = { PHP_FE(tiny, arginfo) PHP_FE_END };

zend_module_entry tiny_module_entry = {
    STANDARD_MODULE_HEADER, "tiny", functions, NULL, NULL, NULL, NULL, NULL, "1.2", STANDARD_MODULE_PROPERTIES
};

ZEND_GET_MODULE(tiny)
""",
}


def write(folder: Path) -> Path:
    """Write the tarball and return it; no other has the same bytes, so that no cache has it compiled."""
    path = folder / "tiny-1.2.tar"
    with tarfile.open(path, "w") as archive:
        for name, text in {**_FILES, "tiny-1.2/README": uuid.uuid4().hex}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(text.encode()), 1_000_000_000
            archive.addfile(member, io.BytesIO(text.encode()))
    return path
