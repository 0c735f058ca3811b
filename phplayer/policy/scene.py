"""What a rule looks at: the layer, what lies beside it at /opt, and the policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from phplayer.policy import loading
from phplayer.policy.content import LayerContent, Mounted
from phplayer.policy.findings import Finding

if TYPE_CHECKING:
    from phplayer.policy.policies import Policy


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A layer that is examined, among the other layers of its function in their order."""

    layer: LayerContent
    policy: Policy
    before: tuple[LayerContent, ...] = ()  # over which this layer lies
    others: tuple[LayerContent, ...] = ()  # which lie over it

    @property
    def layers(self) -> tuple[LayerContent, ...]:
        """All layers, the lowest first."""
        return (*self.before, self.layer, *self.others)

    @cached_property
    def mounted(self) -> Mounted:
        """All layers as they lie at /opt."""
        return Mounted.of(*self.layers)

    @cached_property
    def loads(self) -> tuple[loading.Load, ...]:
        """What the dynamic loader takes for each library that a file of this layer needs."""
        return tuple(load for load in loading.loads(self.mounted, self.policy) if self.is_seen(load.file))

    def is_seen(self, path: str) -> bool:
        """Tell whether what lies at the path is this layer's, and not another's over it or in its stead."""
        file = self.layer.files.get(path)
        return file is not None and self.mounted.files[path] is file


Check: TypeAlias = Callable[[Scene], Iterator[Finding]]
"""A family of rules: pure, told a scene, tells findings."""
