"""What bytes betray: paths of the machine that made them, and secrets.

Files are searched for a few fixed words first, which is fast; only what follows a word is matched as a pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phplayer.elf_image import Buffer

_PATH = rb"[\w.+@/-]"
_BUILD_PATHS = {
    b"/home/": re.compile(rb"/home/[\w.-]+/" + _PATH + rb"+"),
    b"/root/": re.compile(rb"/root/" + _PATH + rb"+"),
    b"/tmp/": re.compile(rb"/tmp/[\w+-][\w.+-]*/" + _PATH + rb"+"),
    b"/Users/": re.compile(rb"/Users/[\w.-]+/" + _PATH + rb"+"),
    b"/builds/": re.compile(rb"/builds/[\w.-]+/" + _PATH + rb"+"),
    b"/github/workspace": re.compile(rb"/github/workspace" + _PATH + rb"*"),
    b"/codebuild/": re.compile(rb"/codebuild/" + _PATH + rb"+"),
    # Last, for of a file's paths only some are told, and these say least of who built it.
    b"/builddir/": re.compile(rb"/builddir/" + _PATH + rb"+"),
    b"/build/": re.compile(rb"/build/[\w.+-]+/" + _PATH + rb"+"),
}
DISTRIBUTIONS = ("/builddir/", "/build/")
"""Where distributions build their packages: Fedora's mock and Debian's sbuild."""

_BEFORE_A_PATH = re.compile(rb"[\w.+@~/}-]")  # a path that begins earlier is another one
_SHOWN = 3  # samples of build paths
_LONGEST = 200  # bytes of one

_KEY_ID = re.compile(rb"A[KS]IA[A-Z0-9]{16}(?![A-Z0-9])")
_KEY_LETTERS = 7  # different characters that a key identifier has at the least; placeholders have fewer
_SECRET = re.compile(rb"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_SECRET_LETTERS = 16
_NAMED_SECRET = re.compile(
    rb"aws_secret_access_key[\"']?\s*(?:=>|[:=])\s*[\"']?(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])", re.IGNORECASE
)
_NEARBY = 600  # bytes on either side of a key identifier in which its secret is looked for
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?P<kind>(?:[A-Z0-9]+ ){0,3})PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:\\[rn]|[\s\"'.+])*(?:[A-Za-z-]+: [^\n]*\n)*\s*[A-Za-z0-9+/=]{40}"
)


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A secret that stands in a file."""

    kind: str  # aws or private-key
    shown: str  # enough of it to find it, and no more


def build_paths(data: Buffer, *, also: Sequence[str] = ()) -> tuple[str, ...]:
    """Return some paths of the machine where the file was made; ``also`` are folders that count as such."""
    patterns = dict(_BUILD_PATHS)
    for folder in also:
        start = folder.rstrip("/").encode() + b"/"
        patterns[start] = re.compile(re.escape(start) + _PATH + rb"+")
    found: dict[str, None] = {}
    for word, pattern in patterns.items():
        for match in _matches(data, word, pattern):
            if match.start() and _BEFORE_A_PATH.match(data, match.start() - 1):
                continue
            found[match[0][:_LONGEST].decode("ascii", "replace")] = None
            if len(found) >= _SHOWN:
                return tuple(found)
    return tuple(found)


def secrets(data: Buffer, *, binary: bool = False) -> tuple[Secret, ...]:
    """Return the secrets that stand in a file; the examples of AWS's documentation are none.

    Private keys in a binary are those that TLS libraries test themselves with (libgnutls has four).
    """
    found: dict[Secret, None] = {}
    for word in (b"AKIA", b"ASIA"):
        for match in _matches(data, word, _KEY_ID):
            if _is_a_key(data, match):
                name = match[0].decode()
                beside = " beside a secret key" if _has_secret_nearby(data, match) else ""
                found[Secret(kind="aws", shown=f"{name[:8]}...{beside}")] = None
    for word in () if found else (b"aws_secret_access_key", b"AWS_SECRET_ACCESS_KEY"):
        for match in _matches(data, word, _NAMED_SECRET):
            if len(set(match["secret"])) >= _SECRET_LETTERS and b"EXAMPLE" not in match["secret"]:
                found[Secret(kind="aws", shown="a secret access key")] = None
    for match in () if binary else _matches(data, b"-----BEGIN ", _PRIVATE_KEY):
        found[Secret(kind="private-key", shown=f"{match['kind'].decode()}PRIVATE KEY")] = None
    return tuple(found)


def _is_a_key(data: Buffer, match: re.Match[bytes]) -> bool:
    before = data[match.start() - 1 : match.start()]
    if before.isalnum() or match[0].endswith(b"EXAMPLE"):
        return False
    return len(set(match[0][4:])) >= _KEY_LETTERS


def _has_secret_nearby(data: Buffer, match: re.Match[bytes]) -> bool:
    around = data[max(match.start() - _NEARBY, 0) : match.end() + _NEARBY]
    return any(len(set(secret)) >= _SECRET_LETTERS for secret in _SECRET.findall(around))


def _matches(data: Buffer, word: bytes, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    position = data.find(word)
    while position >= 0:
        match = pattern.match(data, position)
        if match is not None:
            yield match
        position = data.find(word, position + len(word))
