"""Publishes layer archives to regions and remembers every ARN.

The story: ``plan`` sets each archive against each region and the ledger, without any I/O. ``preview`` asks AWS what it
has already and says what would be done. ``execute`` does it: the steps run concurrently; each asks AWS whether the
content is there, publishes it if not, and records the ARN the moment it exists. A step that fails does not stop the
others, so that running again completes what is missing.

Content counts as published when the ledger has its CodeSha256, or when AWS has it: ListLayerVersions does not tell
the digest, so the build key in each version's description narrows the search and GetLayerVersion decides.

``planning`` is the plan, ``execute`` carries it out, ``running`` does so side by side; ``turns`` keeps publishers out
of each other's way, ``lookup`` looks for content, ``uploads`` is the way through S3 and ``sending`` the call itself.
"""

from __future__ import annotations

from phplayer.publishing.execute import PATIENCE, Terms, execute, preview
from phplayer.publishing.outcome import Happened, Outcome, Result
from phplayer.publishing.planning import DIRECT_UPLOAD_LIMIT, Step, plan
from phplayer.publishing.running import CONCURRENCY

__all__ = [
    "CONCURRENCY",
    "DIRECT_UPLOAD_LIMIT",
    "PATIENCE",
    "Happened",
    "Outcome",
    "Result",
    "Step",
    "Terms",
    "execute",
    "plan",
    "preview",
]
