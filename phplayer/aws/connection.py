"""A session of boto3 and its clients, made when first asked for."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from phplayer import __version__
from phplayer.aws import answers
from phplayer.aws.failures import translated
from phplayer.errors import UsageError
from phplayer.ledger import AWS_ENDPOINT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

_CONNECT_TIMEOUT = 10.0  # seconds
_HASTY_TIMEOUT = 4.0
_READ_TIMEOUT = 60.0  # seconds without a byte, of a question
_ATTEMPTS = 6  # of a call that can be repeated
_CONNECTIONS = 16  # to one service in one region

TIMEOUT = 300.0
"""Seconds that a call waits for AWS at most: Lambda has to unpack a layer before it answers PublishLayerVersion."""


class Connection:
    """One profile at one endpoint. Safe to share between threads."""

    def __init__(
        self, *, profile: str = "", endpoint_url: str = "", hasty: bool = False, timeout: float = TIMEOUT
    ) -> None:
        """Open a session; nothing is sent yet. ``hasty`` is for questions that may go unanswered: seconds, no retry.

        Raises:
            UsageError: the profile does not exist, or the URL is none.

        """
        import boto3

        if endpoint_url and not _is_http_url(endpoint_url):
            raise UsageError(f"{endpoint_url!r} is not an endpoint URL.", remedy="It looks like http://127.0.0.1:5000.")
        self._endpoint_url = endpoint_url.rstrip("/") or None
        self._hasty = hasty
        self._timeout = _HASTY_TIMEOUT if hasty else timeout
        self._clients: dict[tuple[str, str, bool], BaseClient] = {}
        self._lock = threading.Lock()  # a session is not safe to share, its clients are
        with translated("", "", endpoint_url):
            self._session = boto3.Session(profile_name=profile or None)

    @property
    def default_region(self) -> str:
        """The region of the profile or of AWS's own environment variables, or nothing."""
        return str(self._session.region_name or "")

    def endpoint(self, region: str) -> str:
        """Return what the ledger calls this endpoint: ``aws``, or the URL of anything else.

        boto3's own ways to set one (AWS_ENDPOINT_URL, a profile's endpoint_url) count too; addresses under AWS's
        domains, such as a VPC endpoint's, are AWS.
        """
        url = str(self.client("lambda", region).meta.endpoint_url).rstrip("/")
        host = urlsplit(url).hostname or ""
        return AWS_ENDPOINT if host.endswith(_aws_domains()) else url

    @contextmanager
    def calling(self, permission: str, region: str) -> Iterator[None]:
        """Turn what botocore raises while ``permission`` is used into our errors."""
        with translated(permission, region, self._endpoint_url or ""):
            yield

    @staticmethod
    def refused() -> type[ClientError]:
        """Return the class of AWS's own answers, for a module that has to read one itself."""
        from botocore.exceptions import ClientError

        return ClientError

    def client(
        self, service: str, region: str, *, once: bool = False, prepare: Callable[[Any], None] | None = None
    ) -> Any:
        """Return a client, made and prepared at first. ``once`` is for calls that must not be sent twice."""
        key = (service, region, once)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._made(service, region, once=once)
                if prepare is not None:
                    prepare(self._clients[key])
            return self._clients[key]

    def _made(self, service: str, region: str, *, once: bool) -> Any:
        from botocore.config import Config

        attempts = 1 if once or self._hasty else _ATTEMPTS
        config = Config(
            connect_timeout=min(_CONNECT_TIMEOUT, self._timeout),
            read_timeout=self._timeout if once else min(_READ_TIMEOUT, self._timeout),
            retries={"mode": "standard" if once else "adaptive", "total_max_attempts": attempts},
            max_pool_connections=_CONNECTIONS,
            user_agent_extra=f"phplayer/{__version__}",
        )
        with translated("", region, self._endpoint_url or ""):
            made = self._session.client(service, region_name=region, endpoint_url=self._endpoint_url, config=config)
        answers.watch(made.meta.events, retry=attempts > 1)
        return made

    def pages(self, service: str, region: str, operation: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Yield the pages of an operation's answer."""
        yield from self.paginator(service, region, operation).paginate(**arguments)

    def paginator(self, service: str, region: str, operation: str) -> Any:
        """Return what asks for all pages of an operation's answer."""
        client = self.client(service, region)
        with self._lock:  # botocore looks through all its data for the first one: once, not in every thread
            return client.get_paginator(operation)


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


@cache
def _aws_domains() -> tuple[str, ...]:
    """Return the domains of AWS's endpoints, with a leading dot, from botocore's data."""
    import botocore.session

    partitions = botocore.session.Session().get_data("partitions")["partitions"]
    names = {each["outputs"].get(kind) for each in partitions for kind in ("dnsSuffix", "dualStackDnsSuffix")}
    return tuple(f".{name}" for name in names if name)
