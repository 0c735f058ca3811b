"""Names the entries of AWS Systems Manager Parameter Store that hold the newest LayerVersionArns. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING

from phplayer.errors import UsageError, did_you_mean
from phplayer.layer import LayerArn
from phplayer.runtime import PhpVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from phplayer.ledger import Entry

DEFAULT_PATTERN = "/php/{name}/{arch}"

_LEVELS = 15
_LENGTH = 1011  # characters, those of the ARN before the name included: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
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
    _check_placeholders(pattern, values)
    name = pattern.format_map(values)
    first = name.strip("/").partition("/")[0].lower()
    if not _NAME.fullmatch(name) or first.startswith(("aws", "ssm")):
        raise UsageError(
            f"Parameter Store takes no parameter named {name!r}.",
            remedy="It begins with /, but not with /aws or /ssm; between slashes stand letters, digits, '.', '-' "
            f"and '_', as in {DEFAULT_PATTERN}.",
        )
    arn = LayerArn.parse(entry.arn)
    before = f"arn:{arn.partition}:ssm:{arn.region}:{arn.account}:parameter"
    if name.count("/") > _LEVELS or len(before) + len(name) > _LENGTH:
        raise UsageError(
            f"The parameter name {name!r} is too long.",
            remedy=f"It has at most {_LENGTH - len(before)} characters and {_LEVELS} levels.",
        )
    return name


def _check_placeholders(pattern: str, known: Iterable[str]) -> None:
    """Refuse what is no placeholder.

    Raises:
        UsageError: there is one that is not known, or a brace stands alone.

    """
    known = tuple(known)
    written = ", ".join(f"{{{name}}}" for name in known)
    try:
        fields = [(name, spec, conversion) for _, name, spec, conversion in Formatter().parse(pattern)]
    except ValueError as error:
        raise UsageError(
            f"The parameter pattern {pattern!r} has a brace without its placeholder.",
            remedy=f"Placeholders: {written}, as in {DEFAULT_PATTERN}.",
        ) from error
    for name, spec, conversion in fields:
        if name is not None and (name not in known or spec or conversion):
            raise UsageError(
                f"The parameter pattern {pattern!r} has an unknown placeholder {{{name}}}.",
                remedy=f"{did_you_mean(name, known)}Known: {written}, as in {DEFAULT_PATTERN}.",
            )
