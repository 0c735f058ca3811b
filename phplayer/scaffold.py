"""Makes a new function: PHP code, a test event, and a SAM template wired to the recorded layers.

A function kind is a folder below ``templates/function/``: files that end in ``.j2`` are rendered, all others are
copied as they are. The result appears whole or not at all.
"""

from __future__ import annotations

import errno
import re
import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from phplayer import resources
from phplayer.errors import EnvironmentMissingError, NothingSelectedError, UsageError
from phplayer.runtime import Architecture, PhpVersion

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from phplayer.ledger import Entry, Ledger

EVENT = "event"
"""The kind of function that gets an event and returns its answer."""

_RENDERED = ".j2"
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # FunctionName of CreateFunction


class FunctionName(str):
    """A function's name, checked against what CreateFunction takes."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check the name.

        Raises:
            UsageError: Lambda would refuse it.

        """
        if _NAME.fullmatch(text) is None:
            raise UsageError(
                f"{text!r} cannot name a function.", remedy="Use 1 to 64 letters, digits, hyphens and underscores."
            )
        return super().__new__(cls, text)

    @property
    def logical_id(self) -> str:
        """``HelloWorldFunction`` for ``hello-world``: CloudFormation takes letters and digits only."""
        words = re.split(r"[-_]+", self)
        return "".join(word[:1].upper() + word[1:] for word in words) + "Function"


@dataclass(frozen=True, kw_only=True)
class RegionLayers:
    """The LayerVersionArns of a function in one region; ``vendor`` may be empty."""

    region: str
    runtime: str
    vendor: str


@dataclass(frozen=True, kw_only=True)
class LayerChoice:
    """The layers that a function is wired to."""

    php: str
    architecture: Architecture
    lambda_runtime: str
    runtime: str  # layer name
    vendor: str  # layer name, may be empty
    regions: tuple[RegionLayers, ...]
    left_out: tuple[str, ...]  # regions that have the runtime layer, and not the vendor layer


@dataclass(frozen=True, kw_only=True)
class NewFunction:
    """What was written."""

    name: FunctionName
    folder: Path
    files: tuple[Path, ...]  # relative to the folder
    layers: LayerChoice | None


def choose_layers(
    recorded: Ledger,
    *,
    endpoint: str,
    account: str = "",
    regions: Collection[str] = (),
    prefix: str = "",
    architecture: Architecture | None = None,
    php: str = "",
) -> LayerChoice | None:
    """Choose from the ledger: this machine's architecture before others, the newest PHP, names that begin so.

    ``architecture`` and ``php`` (a branch or an exact version) leave no other choice.

    The vendor layer is the one that was made for the same PHP and architecture, or else the one of the newest PHP.
    Returns None when the ledger has no runtime layer for that endpoint and those regions.

    Raises:
        NothingSelectedError: runtime layers are recorded, and none for that architecture and PHP.
        UsageError: layers of several accounts are recorded and none was named, or a region lacks the layer.

    """
    entries = [entry for entry in recorded.current() if entry.endpoint == endpoint]
    entries = [entry for entry in entries if not account or entry.account == account]
    entries = [entry for entry in entries if not regions or entry.region in regions]
    accounts = sorted({entry.account for entry in entries})
    if len(accounts) > 1:
        raise UsageError(
            f"Layers of {len(accounts)} accounts are recorded: {', '.join(accounts)}.",
            remedy="Say which to use with --account.",
        )
    runtimes = [entry for entry in entries if entry.kind == "runtime"]
    if not runtimes:
        return None
    runtimes = _fitting(runtimes, architecture, php)
    mine = _this_architecture()
    best = max(
        runtimes,
        key=lambda entry: (
            entry.architecture == mine,
            PhpVersion.parse(entry.php),
            entry.layer.startswith(prefix),
            entry.layer,
        ),
    )
    with_runtime = {
        entry.region: entry
        for entry in runtimes
        if (entry.layer, entry.architecture) == (best.layer, best.architecture)
    }
    missing = [region for region in regions if region not in with_runtime]
    if missing:
        raise UsageError(
            f"{best.layer} is not recorded in {', '.join(missing)}.",
            remedy=f"Run: phplayer publish {' '.join(f'--region {region}' for region in missing)}",
        )
    vendors = [entry for entry in entries if entry.kind == "vendor" and entry.region in with_runtime]
    with_vendor = _vendor_of(best, vendors)
    both = [region for region in with_runtime if not with_vendor or region in with_vendor]
    return LayerChoice(
        php=best.php,
        architecture=Architecture.parse(best.architecture),
        lambda_runtime=best.lambda_runtime,
        runtime=best.layer,
        vendor=next((entry.layer for entry in with_vendor.values()), ""),
        regions=tuple(
            RegionLayers(
                region=region,
                runtime=with_runtime[region].arn,
                vendor=with_vendor[region].arn if with_vendor else "",
            )
            for region in sorted(both)
        ),
        left_out=tuple(sorted(set(with_runtime) - set(both))),
    )


def _fitting(runtimes: Sequence[Entry], architecture: Architecture | None, php: str) -> list[Entry]:
    found = [
        entry
        for entry in runtimes
        if entry.architecture == (architecture or entry.architecture)
        and (not php or php in {entry.php, PhpVersion.parse(entry.php).branch})
    ]
    if not found:
        wanted = " and ".join(filter(None, (php and f"PHP {php}", architecture or "")))
        raise NothingSelectedError(
            f"No runtime layer is recorded for {wanted}.",
            remedy=f"Build and publish it first. Recorded: {', '.join(sorted({entry.layer for entry in runtimes}))}.",
        )
    return found


def _vendor_of(runtime: Entry, vendors: Sequence[Entry]) -> dict[str, Entry]:
    """Return, by region, the vendor layer that fits the runtime best."""
    if not vendors:
        return {}
    best = max(
        vendors,
        key=lambda entry: (
            entry.php == runtime.php,
            entry.architecture == runtime.architecture,
            PhpVersion.parse(entry.php),
            entry.layer,
        ),
    )
    return {entry.region: entry for entry in vendors if entry.layer == best.layer}


def _this_architecture() -> str:
    try:
        return Architecture.of_this_machine()
    except EnvironmentMissingError:
        return ""  # nothing can run here, but a function can be written here


def create(
    name: FunctionName,
    parent: Path,
    *,
    layers: LayerChoice | None,
    lambda_runtime: str,
    architecture: Architecture | None = None,
    kind: str = EVENT,
) -> NewFunction:
    """Write the function into ``parent/name``; runtime and architecture count where no layer is recorded.

    Raises:
        UsageError: the folder exists and is not empty, or a file has that name.

    """
    folder = parent / name
    _refuse_occupied(folder)
    values = {
        "name": str(name),
        "logical_id": name.logical_id,
        "php": layers.php if layers else "",
        "lambda_runtime": layers.lambda_runtime if layers else lambda_runtime,
        "architecture": layers.architecture if layers else architecture or _this_architecture() or Architecture.X86_64,
        "layers": layers.regions if layers else (),
    }
    temporary = parent / f".{name}.{secrets.token_hex(6)}"
    try:
        temporary.mkdir()
        files = tuple(_write(resources.template("function", kind), temporary, values))
        _move(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return NewFunction(name=name, folder=folder, files=files, layers=layers)


def _refuse_occupied(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{folder} exists and is not a folder.", remedy="Choose another name, or move it away.")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"The folder {folder} is not empty.", remedy="Choose another name, or empty it.")


def _write(template: Path, folder: Path, values: Mapping[str, object]) -> list[Path]:
    """Render or copy each file of the template and return their paths, sorted."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(  # noqa: S701  YAML and Markdown, not HTML
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    written = []
    for source in sorted(path for path in template.rglob("*") if path.is_file()):
        relative = source.relative_to(template)
        data = source.read_bytes()
        if source.suffix == _RENDERED:
            relative = relative.with_suffix("")
            data = environment.from_string(data.decode()).render(values).encode()
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        written.append(relative)
    return sorted(written)


def _move(temporary: Path, folder: Path) -> None:
    """Put the finished folder in its place; an empty one there is replaced."""
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise
        _refuse_occupied(folder)
        raise
