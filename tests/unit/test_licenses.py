from __future__ import annotations

from pathlib import Path

from phplayer import licenses


def folder(path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    return path


def test_each_text_stands_once_and_common_ones_where_they_are_pointed_at(tmp_path: Path) -> None:
    pointer = "See /usr/share/common-licenses/LGPL-2.1."
    first = folder(
        tmp_path / "php",
        {
            "php/LICENSE": "The licence of PHP\r\n",
            "openssl/copyright": pointer,
            "glibc/copyright": "not carried",
        },
    )
    second = folder(tmp_path / "redis", {"redis/COPYING": "The licence of PHP", "openssl/copyright": pointer})
    text = licenses.collect([first, second, tmp_path / "none"], components={"php", "openssl", "redis", "absent"})
    assert text.count("The licence of PHP") == 1
    assert "php (LICENSE), redis (COPYING)" in text
    assert text.count(pointer) == 1
    assert text.count("Version 2.1, February 1999") == 1
    assert "Version 3, 29 June 2007" not in text
    assert "not carried" not in text
    assert "MIT License" in text  # of the bootstrap
    assert text == licenses.collect([first, second], components=["redis", "openssl", "php"])


def test_it_lies_where_others_do_not(tmp_path: Path) -> None:
    source = folder(tmp_path / "part", {"php/LICENSE": "caf\u00e9"})
    (source / "php" / "latin1").write_bytes(b"caf\xe9")
    licenses.write([source], tmp_path / "tree", components={"php"})
    assert "caf\u00e9" in (tmp_path / "tree" / licenses.PATH).read_text(encoding="utf-8")


def test_a_pointer_without_a_version_means_the_newest(tmp_path: Path) -> None:
    pointer = "On Debian systems: /usr/share/common-licenses/GPL, and /usr/share/common-licenses/Unknown-1."
    text = licenses.collect([folder(tmp_path, {"a/copyright": pointer})], components={"a"})
    assert "GNU GENERAL PUBLIC LICENSE" in text
    assert "Version 3, 29 June 2007" in text
