from __future__ import annotations

from pathlib import Path

import pytest

from phplayer import ini
from phplayer.errors import UsageError


def test_files_are_ours_then_extensions_then_the_projects(tmp_path: Path) -> None:
    files = ini.render(
        extensions=(("opcache", True), ("igbinary", False)), directives={"memory_limit": "512M", "display_errors": True}
    )
    assert list(files) == ["php.ini", "conf.d/20-certificates.ini", "conf.d/10-extensions.ini", "conf.d/50-project.ini"]
    ini.write(files, tmp_path)
    assert (tmp_path / "etc/php/conf.d/10-extensions.ini").read_text() == (
        "zend_extension = opcache.so\nextension = igbinary.so\n"
    )
    assert 'memory_limit = "512M"\n' in (tmp_path / "etc/php/conf.d/50-project.ini").read_text()
    assert "display_errors = 1\n" in (tmp_path / "etc/php/conf.d/50-project.ini").read_text()


def test_the_digest_follows_the_directives() -> None:
    def digest(**directives: object) -> str:
        return ini.digest(ini.render(extensions=(), directives=directives))

    assert digest() == digest()
    assert len({digest(), digest(a="1"), digest(a="2"), digest(b="1")}) == 4


@pytest.mark.parametrize(
    ("name", "value"), [("a b", "1"), ("a", 'x"\nevil = "1'), ("a", "${HOME}"), ("a\nb", "1"), ("a", "x\0")]
)
def test_what_an_ini_file_cannot_hold_is_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError):
        ini.render(extensions=(), directives={name: value})
