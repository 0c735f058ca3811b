"""AWS, as far as phplayer needs it. This package alone imports boto3 and botocore, and only inside functions.

``Aws`` is one profile at one endpoint; each service that is used has a module here and an attribute there. Whatever
botocore raises leaves as one of our errors: what was refused, in which region, and what to do (``refusals``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from phplayer.aws.audience import Audience, read_audiences
from phplayer.aws.buckets import Buckets, StoredObject
from phplayer.aws.connection import TIMEOUT, Connection
from phplayer.aws.functions import Functions
from phplayer.aws.identity import Identity, caller
from phplayer.aws.layer_policies import LayerPolicies
from phplayer.aws.layers import Details, LayerContent, Layers, LayerVersion
from phplayer.aws.parameters import Parameters
from phplayer.aws.regions import check_regions, enabled_regions, regions
from phplayer.errors import UsageError

if TYPE_CHECKING:
    from phplayer.errors import PhplayerError
    from phplayer.settings import Settings

__all__ = [
    "Audience",
    "Aws",
    "Details",
    "Identity",
    "LayerContent",
    "LayerVersion",
    "StoredObject",
    "check_regions",
    "read_audiences",
    "regions",
]


class Aws:
    """The calls that phplayer makes, with one profile at one endpoint. Safe to share between threads."""

    def __init__(
        self, *, profile: str = "", endpoint_url: str = "", hasty: bool = False, timeout: float = TIMEOUT
    ) -> None:
        """Open a session; nothing is sent yet. ``hasty`` is for questions that may go unanswered: seconds, no retry.

        ``timeout`` is the seconds without a word from AWS after which a call is given up.

        Raises:
            UsageError: the profile does not exist, or the URL is none.

        """
        self.connection = Connection(profile=profile, endpoint_url=endpoint_url, hasty=hasty, timeout=timeout)
        self.layers = Layers(self.connection)
        self.buckets = Buckets(self.connection)
        self.layer_policies = LayerPolicies(self.connection)
        self.functions = Functions(self.connection)
        self.parameters = Parameters(self.connection)

    @classmethod
    def of(cls, settings: Settings, *, hasty: bool = False) -> Self:
        """Open a session as the settings under ``publish`` say, a hasty one if asked for.

        Raises:
            UsageError: the profile does not exist, the URL is none, or no time is left for a call.

        """
        timeout = settings.number("publish.timeout")
        if timeout <= 0:
            raise UsageError(f"publish.timeout is {timeout}.", remedy="Give each call a second at least.")
        return cls(
            profile=settings.text("publish.profile"),
            endpoint_url=settings.text("publish.endpoint_url"),
            hasty=hasty,
            timeout=timeout,
        )

    @property
    def default_region(self) -> str:
        """The region of the profile or of AWS's own environment variables, or nothing."""
        return self.connection.default_region

    def endpoint(self, region: str) -> str:
        """Return what the ledger calls this endpoint: ``aws``, or the URL of anything else."""
        return self.connection.endpoint(region)

    def identity(self, region: str) -> Identity:
        """Ask who we are.

        Raises:
            PhplayerError: no credentials, not accepted, or nothing answers.

        """
        return caller(self.connection, region)

    def enabled_regions(self, region: str) -> tuple[tuple[str, ...], PhplayerError | None]:
        """Return the regions that the account can use, and why nobody told which, if so (see ``regions``)."""
        return enabled_regions(self.connection, region)
