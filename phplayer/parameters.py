"""Names the entries of AWS Systems Manager Parameter Store that hold the newest LayerVersionArns. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phplayer.errors import UsageError
from phplayer.runtime import PhpVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.ledger import Entry

DEFAULT_PATTERN = "/php/{name}/{arch}"

_LEVELS = 15
_LENGTH = 1011  # characters, prefix included: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
_NAME = re.compile(r"/[a-zA-Z0-9_.-]+(/[a-zA-Z0-9_.-]+)*")


@dataclass(frozen=True, kw_only=True, order=True)
class Parameter:
    """A parameter and the ARN that it is to hold."""

    region: str
    name: str
    value: str


def parameters(entries: Sequence[Entry], pattern: str) -> tuple[Parameter, ...]:
    """Return one parameter for each entry, by region and name.

    The pattern's placeholders: ``{name}`` (of the layer), ``{arch}``, ``{php}`` (the branch) and ``{kind}``.

    Raises:
        UsageError: Parameter Store takes no such name, or two layers would share one.

    """
    named: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        name = _name(entry, pattern)
        other = named.setdefault((entry.region, name), entry)
        if other is not entry:
            raise UsageError(
                f"{other.layer} and {entry.layer} would both be the parameter {name} in {entry.region}.",
                remedy=f"Tell them apart in the pattern, as in {DEFAULT_PATTERN}.",
            )
    made = (Parameter(region=region, name=name, value=entry.arn) for (region, name), entry in named.items())
    return tuple(sorted(made))


def _name(entry: Entry, pattern: str) -> str:
    values = {
        "name": entry.layer,
        "arch": entry.architecture,
        "php": PhpVersion.parse(entry.php).branch,
        "kind": entry.kind,
    }
    try:
        name = pattern.format_map(values)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise UsageError(
            f"The parameter pattern {pattern!r} has a placeholder that is none.",
            remedy=f"Known: {', '.join(f'{{{key}}}' for key in values)}, as in {DEFAULT_PATTERN}.",
        ) from error
    first = name.strip("/").partition("/")[0].lower()
    if not _NAME.fullmatch(name) or first.startswith(("aws", "ssm")):
        raise UsageError(
            f"Parameter Store takes no parameter named {name!r}.",
            remedy="It begins with /, but not with /aws or /ssm; between slashes stand letters, digits, '.', '-' "
            f"and '_', as in {DEFAULT_PATTERN}.",
        )
    if name.count("/") > _LEVELS or len(name) > _LENGTH:
        raise UsageError(
            f"The parameter name {name!r} is too long.",
            remedy=f"It has at most {_LENGTH} characters and {_LEVELS} levels.",
        )
    return name
