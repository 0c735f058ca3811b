from __future__ import annotations

import pytest
from cyclonedx.spdx import is_expression, is_supported_id
from hypothesis import given
from hypothesis import strategies as st

from phplayer import debian_copyright

FILE = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Example
License: of the header, which is not a file

# a comment
Files: *
Copyright: 2001 Somebody
License: Expat
 Permission is hereby granted
 .
 License: not a field

Files: m4/*
 configure
Copyright: 2002
license:  GPL-2+ with Libtool exception

Files: debian/*
 debian/patches/*
License: GPL-3+

Files: src/*.c debian/rules
License: ISC

Files: README
Copyright: nobody
License:
 Do as you like.

License: Artistic
 The text of a licence that another stanza names.
"""


def test_the_licences_of_the_files_are_read_without_those_of_the_packaging() -> None:
    assert debian_copyright.licenses(FILE) == (
        "Expat",
        "GPL-2+ with Libtool exception",
        "ISC",
        debian_copyright.UNNAMED,
    )


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "# only a comment", "This package was debianized by hand.\n\nLicense: MIT\nFiles: *\n", " indented"],
)
def test_of_what_is_not_machine_readable_nothing_is_told(text: str) -> None:
    assert debian_copyright.licenses(text) == ()


def test_a_draft_of_the_format_is_read_too() -> None:
    text = "Format-Specification: http://dep.debian.net/deps/dep5\n\nFiles: *\nLicense: Zlib\n"
    assert debian_copyright.licenses(text) == ("Zlib",)


@pytest.mark.parametrize(
    ("license_", "spdx"),
    [
        ("GPL-2+", "GPL-2.0-or-later"),
        ("gpl-2.0", "GPL-2.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("Apache-2", "Apache-2.0"),
        ("EXPAT", "MIT"),
        ("BSD-3-Clause and PHP-3.01", "BSD-3-Clause AND PHP-3.01"),
        ("CC0 or Apache-2.0", "CC0-1.0 OR Apache-2.0"),
        ("GPL-2+ or BSD-2-clause, and Expat", "(GPL-2.0-or-later OR BSD-2-Clause) AND MIT"),
        ("GPL-2+ and ISC or Zlib", "GPL-2.0-or-later AND ISC OR Zlib"),
        ("Apache-2.0 with LLVM exception", "Apache-2.0 WITH LLVM-exception"),
    ],
)
def test_what_is_certain_is_said_in_spdx(license_: str, spdx: str) -> None:
    assert debian_copyright.spdx(license_) == spdx
    assert is_expression(spdx) or is_supported_id(spdx)


@pytest.mark.parametrize(
    "license_",
    [
        *("MIT", "X11", "GPL", "LGPL", "Artistic", "public-domain", "BSD", "BSD-variant", "none", ""),
        *("GPL-2+ with OpenSSL exception", "GPL-2+ with Autoconf exception", "GPL-1+ or Artistic", "GPL-2+ and/or ISC"),
        *("GPL-2+ or", "and", "ISC, or Zlib and Expat", "GPL-2++", "GPL-20", debian_copyright.UNNAMED),
    ],
)
def test_nothing_is_guessed(license_: str) -> None:
    assert debian_copyright.spdx(license_) == ""


def test_spdx_knows_every_name_of_the_vocabulary() -> None:
    known = debian_copyright.vocabulary()
    for name, spdx in known.license.items():
        assert is_supported_id(spdx), name
        assert debian_copyright.spdx(name) == spdx  # it is in the form that is looked for
    for name, spdx in known.exception.items():
        assert is_expression(f"GPL-2.0-only WITH {spdx}"), name
        assert name == name.lower()


@given(st.text(alphabet="Files: License*\n .#,and or with GPL-2+Expat\t/debian", max_size=200))
def test_any_text_is_read(text: str) -> None:
    header = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
    for license_ in debian_copyright.licenses(header + text):
        spdx = debian_copyright.spdx(license_)
        assert not spdx or is_expression(spdx) or is_supported_id(spdx)
