from __future__ import annotations

import base64
import io
import json
import os

import pytest
from botocore.utils import determine_content_length

from phplayer.aws import request_body
from phplayer.aws.request_body import SplicedBody

MARK = b"mark" * 3


def body(content: bytes) -> SplicedBody:
    document = {"Content": {"ZipFile": base64.b64encode(MARK).decode()}, "Description": "PHP"}
    return SplicedBody(json.dumps(document).encode(), MARK, io.BytesIO(content))


def plain(content: bytes) -> bytes:
    document = {"Content": {"ZipFile": base64.b64encode(content).decode()}, "Description": "PHP"}
    return json.dumps(document).encode()


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 100, 1000])
@pytest.mark.parametrize("block", [1, 3, 7, 64, 5000])
def test_the_body_is_what_it_would_be_in_memory(monkeypatch: pytest.MonkeyPatch, size: int, block: int) -> None:
    monkeypatch.setattr(request_body, "_BLOCK", 1)
    content = os.urandom(size)
    made = body(content)
    assert determine_content_length(made) == len(made) == len(plain(content))
    assert b"".join(iter(lambda: made.read(block), b"")) == plain(content)
    assert made.tell() == len(made)
    made.seek(0)
    assert made.read() == plain(content)


def test_it_is_read_from_any_place() -> None:
    content = os.urandom(50)
    made = body(content)
    for place in range(len(made)):
        made.seek(place)
        assert made.read() == plain(content)[place:]


def test_what_goes_out_is_counted_and_what_is_signed_is_not() -> None:
    made = body(os.urandom(200_000))
    made.read()
    made.seek(0)
    blocks: list[int] = []
    made.sent = blocks.append
    while made.read(16 * 1024):
        pass
    assert sum(blocks) == len(made)
    assert len(blocks) > 3
