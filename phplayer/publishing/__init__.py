"""Publishes layer archives to regions and remembers every ARN.

The story: ``plan`` sets each archive against each region and the ledger, without any I/O. ``preview`` asks AWS what it
has already and says what would be done. ``execute`` does it: the steps run concurrently; each asks AWS whether the
content is there, publishes it if not, and records the ARN the moment it exists. A step that fails does not stop the
others, so that running again completes what is missing.

Content counts as published when the ledger has its CodeSha256, or when AWS has it: ListLayerVersions does not tell
the digest, so the build key in each version's description narrows the search and GetLayerVersion decides.
"""

from __future__ import annotations

from phplayer.publishing.execute import CONCURRENCY, execute, preview
from phplayer.publishing.outcome import Happened, Outcome, Result
from phplayer.publishing.planning import DIRECT_UPLOAD_LIMIT, Step, plan

__all__ = [
    "CONCURRENCY",
    "DIRECT_UPLOAD_LIMIT",
    "Happened",
    "Outcome",
    "Result",
    "Step",
    "execute",
    "plan",
    "preview",
]
