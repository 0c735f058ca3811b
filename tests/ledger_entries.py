"""Ledger entries of layer versions that nobody published."""

from __future__ import annotations

from phplayer.ledger import Entry

ACCOUNT = "123456789012"


def entry(
    layer: str = "php-84-x86_64",
    region: str = "eu-west-1",
    version: int = 1,
    *,
    kind: str = "runtime",
    php: str = "8.4.24",
    arch: str = "x86_64",
    account: str = ACCOUNT,
    endpoint: str = "aws",
    current: bool = True,
) -> Entry:
    return Entry(
        endpoint=endpoint,
        account=account,
        region=region,
        layer=layer,
        version=version,
        current=current,
        arn=f"arn:aws:lambda:{region}:{account}:layer:{layer}:{version}",
        kind=kind,
        php=php,
        architecture=arch,
        lambda_runtime="provided.al2023",
        key="k",
        code_sha256="x",
        size=1,
    )
