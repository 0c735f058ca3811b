"""Hands the recorded LayerVersionArns to other tools, each in its own form. Pure: from the ledger to text.

Of each layer in each region there is one ARN: the version that the last publish settled on. The forms nest by region
and then by layer, since a layer version can be used in its own region only.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from phplayer.errors import NothingSelectedError, UsageError, did_you_mean
from phplayer.parameters import parameters
from phplayer.runtime import PhpVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from phplayer.ledger import Entry, Ledger


class Form(StrEnum):
    """What the ARNs are written as."""

    ENV = "env"
    JSON = "json"
    SAM = "sam"
    CLOUDFORMATION_MAPPINGS = "cloudformation-mappings"
    TERRAFORM = "terraform"
    CDK = "cdk"
    SERVERLESS = "serverless"
    SSM = "ssm"


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which of the recorded layers; nothing means all. Layers and regions may be patterns (``eu-*``)."""

    account: str = ""
    layers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    php: tuple[str, ...] = ()  # branches or exact versions


def select(recorded: Ledger, filters: Filters, *, endpoint: str) -> tuple[Entry, ...]:
    """Return the current version of each layer in each region that passes, by region and layer.

    A vendor layer's files run on any architecture, so one passes for every architecture that has none of its own.

    Raises:
        NothingSelectedError: nothing is recorded there, or nothing passes.
        UsageError: a layer of that name is recorded in two accounts.

    """
    entries = [entry for entry in recorded.current() if entry.endpoint == endpoint]
    if not entries:
        raise _nothing_recorded(recorded, endpoint)
    passing = [entry for entry in entries if not filters.account or entry.account == filters.account]
    passing = _matching(passing, "layer", filters.layers, lambda entry: entry.layer)
    passing = _matching(passing, "region", filters.regions, lambda entry: entry.region)
    passing = [entry for entry in passing if not filters.php or _is_php(entry, filters.php)]
    passing = _for_architectures(passing, filters.architectures)
    if not passing:
        layers = sorted({entry.layer for entry in entries})
        raise NothingSelectedError(
            "No recorded layer is all that was asked for.",
            remedy=f"Ask for less, or publish it first: phplayer publish. Recorded: {', '.join(layers)}.",
        )
    _refuse_two_accounts(passing)
    return tuple(sorted(passing, key=lambda entry: (entry.region, entry.layer)))


def render(form: Form, entries: Sequence[Entry], *, ssm_pattern: str) -> str:
    """Write the ARNs down in that form, with a final newline.

    Raises:
        UsageError: the form has room for one runtime and several are there, or the pattern cannot name parameters.

    """
    if form is Form.SSM:
        return _ssm(entries, ssm_pattern)
    forms: Mapping[Form, Callable[[Sequence[Entry]], str]] = {
        Form.ENV: _env,
        Form.JSON: _json,
        Form.SAM: _sam,
        Form.CLOUDFORMATION_MAPPINGS: _cloudformation_mappings,
        Form.TERRAFORM: _terraform,
        Form.CDK: _cdk,
        Form.SERVERLESS: _serverless,
    }
    return forms[form](entries)


# -- selection --------------------------------------------------------------------------------------------------------


def _nothing_recorded(recorded: Ledger, endpoint: str) -> NothingSelectedError:
    elsewhere = sorted({entry.endpoint for entry in recorded.entries} - {endpoint})
    if elsewhere:
        return NothingSelectedError(
            f"No layer is recorded for {endpoint}, only for {', '.join(elsewhere)}.",
            remedy="Publish there first: phplayer publish. Or name the other place with --endpoint-url.",
        )
    return NothingSelectedError("No published layer is recorded.", remedy="Publish first: phplayer publish")


def _matching(
    entries: Sequence[Entry], what: str, patterns: Sequence[str], name: Callable[[Entry], str]
) -> list[Entry]:
    names = sorted({name(entry) for entry in entries})
    for pattern in patterns:
        if not any(fnmatchcase(each, pattern) for each in names):
            raise NothingSelectedError(
                f"No layer is recorded with the {what} {pattern!r}.",
                remedy=f"{did_you_mean(pattern, names)}Recorded: {', '.join(names) or 'none'}. "
                "Others have to be published first: phplayer publish",
            )
    return [entry for entry in entries if not patterns or any(fnmatchcase(name(entry), each) for each in patterns)]


def _is_php(entry: Entry, wanted: Sequence[str]) -> bool:
    return entry.php in wanted or PhpVersion.parse(entry.php).branch in wanted


def _for_architectures(entries: Sequence[Entry], wanted: Sequence[str]) -> list[Entry]:
    if not wanted:
        return list(entries)
    exact = {id(entry) for entry in entries if entry.architecture in wanted}
    has_own = any(entry.kind == "vendor" for entry in entries if id(entry) in exact)
    return [entry for entry in entries if id(entry) in exact or (entry.kind == "vendor" and not has_own)]


def _refuse_two_accounts(entries: Iterable[Entry]) -> None:
    accounts: dict[tuple[str, str], str] = {}
    for entry in entries:
        other = accounts.setdefault((entry.region, entry.layer), entry.account)
        if other != entry.account:
            raise UsageError(
                f"{entry.layer} in {entry.region} is recorded in two accounts: {other} and {entry.account}.",
                remedy="Say which one with --account.",
            )


# -- forms ------------------------------------------------------------------------------------------------------------


def _by_region(entries: Sequence[Entry]) -> dict[str, dict[str, str]]:
    nested: dict[str, dict[str, str]] = {}
    for entry in entries:
        nested.setdefault(entry.region, {})[entry.layer] = entry.arn
    return nested


def _env(entries: Sequence[Entry]) -> str:
    """``PHP_84_X86_64_ARN=arn:...``; the region is part of the name where there are several."""
    several = len({entry.region for entry in entries}) > 1
    lines: dict[str, str] = {}
    for entry in entries:
        parts = (entry.layer, entry.region, "arn") if several else (entry.layer, "arn")
        name = re.sub(r"[^A-Z0-9]", "_", "_".join(parts).upper())
        name = f"_{name}" if name[0].isdigit() else name
        if name in lines:
            raise UsageError(
                f"Two layers would both be the variable {name}.", remedy="Take one of them with --layer NAME."
            )
        lines[name] = entry.arn
    return "".join(f"{name}={shlex.quote(arn)}\n" for name, arn in lines.items())


def _json(entries: Sequence[Entry]) -> str:
    return json.dumps(_by_region(entries), indent=2) + "\n"


def mapping_key(layer: str) -> str:
    """Return the layer's name as a key of a CloudFormation mapping, which takes letters and digits: ``Php84X8664``."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[-_]+", layer))


def _mapping_keys(entries: Sequence[Entry]) -> dict[str, str]:
    """Return the keys of all layers, by name."""
    keys: dict[str, str] = {}
    for entry in entries:
        key = mapping_key(entry.layer)
        other = next((name for name, taken in keys.items() if taken == key), entry.layer)
        if other != entry.layer:
            raise UsageError(
                f"{other} and {entry.layer} would both be {key} in a mapping.",
                remedy="Take one of them with --layer NAME.",
            )
        keys[entry.layer] = key
    return keys


def _cloudformation_mappings(entries: Sequence[Entry]) -> str:
    keys = _mapping_keys(entries)
    lines = ["Mappings:", "  PhpLayers: # use: !FindInMap [PhpLayers, !Ref AWS::Region, NAME]"]
    for region, layers in _by_region(entries).items():
        lines.append(f"    {region}:")
        lines.extend(f"      {_yaml_key(keys[name])}: {arn}" for name, arn in layers.items())
    return "\n".join(lines) + "\n"


def _sam(entries: Sequence[Entry]) -> str:
    """Write the mapping and Globals that give every function of the template the layers."""
    runtime, vendor = _one_function(entries, "sam")
    layers = [runtime.layer, *([vendor.layer] if vendor else [])]
    finds = [f"      - !FindInMap [PhpLayers, !Ref AWS::Region, {_yaml_key(mapping_key(name))}]" for name in layers]
    return "\n".join(
        (
            "Transform: AWS::Serverless-2016-10-31",
            _cloudformation_mappings([entry for entry in entries if entry.layer in layers]).rstrip("\n"),
            "Globals:",
            "  Function:",
            f"    Runtime: {runtime.lambda_runtime}",
            f"    Architectures: [{runtime.architecture}]",
            "    Layers:",
            *finds,
            "",
        )
    )


def _serverless(entries: Sequence[Entry]) -> str:
    """Write the parts of serverless.yml that give every function the layers, and the ARNs themselves under custom."""
    runtime, vendor = _one_function(entries, "serverless")
    layers = [runtime.layer, *([vendor.layer] if vendor else [])]
    lines = ["provider:", "  name: aws", f"  runtime: {runtime.lambda_runtime}"]
    lines += [f"  architecture: {runtime.architecture}", "  layers:"]
    lines += [f"    - ${{self:custom.phpLayers.${{aws:region}}.{name}}}" for name in layers]
    lines += ["custom:", "  phpLayers:"]
    for region, arns in _by_region([entry for entry in entries if entry.layer in layers]).items():
        lines.append(f"    {region}:")
        lines.extend(f"      {_yaml_key(name)}: {arn}" for name, arn in arns.items())
    return "\n".join(lines) + "\n"


def _terraform(entries: Sequence[Entry]) -> str:
    lines = ["locals {", '  # use: local.php_layers["REGION"]["NAME"]', "  php_layers = {"]
    for region, layers in _by_region(entries).items():
        width = max(len(name) for name in layers) + 2
        lines.append(f"    {json.dumps(region)} = {{")
        lines.extend(f"      {json.dumps(name):<{width}} = {json.dumps(arn)}" for name, arn in layers.items())
        lines.append("    }")
    return "\n".join((*lines, "  }", "}", ""))


def _cdk(entries: Sequence[Entry]) -> str:
    """Write context for cdk.json: ``node.tryGetContext("phplayer:layers")[region][name]`` in any language of CDK."""
    return json.dumps({"context": {"phplayer:layers": _by_region(entries)}}, indent=2) + "\n"


def _ssm(entries: Sequence[Entry], pattern: str) -> str:
    """Write the commands of the AWS CLI that put the ARNs into Parameter Store."""
    return "".join(
        shlex.join(
            [
                *("aws", "ssm", "put-parameter", "--region", parameter.region, "--name", parameter.name),
                *("--type", "String", "--overwrite", "--value", parameter.value),
            ]
        )
        + "\n"
        for parameter in parameters(entries, pattern)
    )


def _one_function(entries: Sequence[Entry], form: str) -> tuple[Entry, Entry | None]:
    """Return the runtime and the vendor layer that all functions are to have.

    Raises:
        UsageError: several runtimes or vendor layers are there, or no runtime.

    """
    found: dict[str, dict[str, Entry]] = {"runtime": {}, "vendor": {}}
    for entry in entries:
        found[entry.kind][entry.layer] = entry
    for kind, layers in found.items():
        if len(layers) > 1:
            raise UsageError(
                f"{form} gives all functions the same layers, and {len(layers)} {kind} layers fit: "
                f"{', '.join(sorted(layers))}.",
                remedy="Choose with --php, --arch or --layer.",
            )
    if not found["runtime"]:
        raise UsageError(
            f"{form} wires functions to a runtime layer, and none is selected.",
            remedy="Ask for a runtime layer too (--layer).",
        )
    return next(iter(found["runtime"].values())), next(iter(found["vendor"].values()), None)


def _yaml_key(name: str) -> str:
    """Quote what YAML would read as something else than text."""
    return name if re.match(r"[a-zA-Z]", name) and name.lower() not in _YAML_WORDS else json.dumps(name)


_YAML_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
