"""Verifies layers: a zip, a folder that becomes /opt, or a published layer version -> content -> findings.

open        a zip is unpacked (it may be hostile), a layer version is downloaded first
read        every file once; which architecture is meant, the layer itself tells unless it is given
examine     the rules, with the other layers of the function beside it
refuse      errors that were not allowed by name
"""

from __future__ import annotations

import stat
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phplayer import cache, policy, unpacking
from phplayer.errors import PolicyRefusedError, UsageError, did_you_mean
from phplayer.policy import content, policies
from phplayer.policy.scene import Scene
from phplayer.runtime import Architecture

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from phplayer.aws import Aws
    from phplayer.layer import LayerArn
    from phplayer.policy import Finding
    from phplayer.policy.content import LayerContent
    from phplayer.runtime import Target

_ARN = "arn:"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What came of verifying one layer."""

    name: str
    kind: str  # zip, folder or layer-version
    target: Target
    architecture: Architecture
    layer: LayerContent
    before: tuple[LayerContent, ...]
    others: tuple[LayerContent, ...]
    findings: tuple[Finding, ...]
    allow: frozenset[str]

    @property
    def standing(self) -> tuple[Finding, ...]:
        """The findings that were not overruled."""
        return tuple(finding for finding in self.findings if finding.name not in self.allow)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings for which the layer is refused."""
        return tuple(finding for finding in self.standing if finding.is_error)


def verify(
    subject: str,
    *,
    before: Sequence[str] = (),
    others: Sequence[str] = (),
    target: Target,
    architecture: Architecture | None = None,
    allow: Iterable[str] = (),
    aws: Callable[[], Aws],
) -> Verification:
    """Verify a zip, a folder or a layer version; ``aws`` gives the client when one is needed.

    ``before`` are the layers of the same function over which it lies, ``others`` those that lie over it.

    Raises:
        UsageError: there is no such thing, it is not a layer, or a name to allow is not known.
        PhplayerError: AWS refused, or could not be reached.

    """
    allowed = policy.check_names(allow)
    kind, layer = _read(subject, aws)
    below = tuple(_read(other, aws)[1] for other in before)
    above = tuple(_read(other, aws)[1] for other in others)
    chosen = architecture or architecture_of(layer)
    scene = Scene(layer=layer, before=below, others=above, policy=policies.of(target, chosen))
    return Verification(
        name=subject,
        kind=kind,
        target=target,
        architecture=chosen,
        layer=layer,
        before=below,
        others=above,
        findings=policy.examine(scene),
        allow=allowed,
    )


def verify_archive(
    path: Path, *, target: Target, architecture: Architecture, allow: Collection[str] = ()
) -> tuple[Finding, ...]:
    """Return what stands against publishing a layer archive, allowed findings left out.

    Raises:
        UsageError: it is not a zip, or a name to allow is not known.

    """
    allowed = policy.check_names(allow)
    scene = Scene(layer=_read_zip(path, path.name), policy=policies.of(target, architecture))
    return tuple(finding for finding in policy.examine(scene) if finding.name not in allowed)


def verify_tree(
    tree: Path, *, target: Target, architecture: Architecture, allow: Collection[str] = ()
) -> tuple[Finding, ...]:
    """Return what stands against packing a layer tree that this machine made, allowed findings left out.

    Raises:
        UsageError: a name to allow is not known.

    """
    allowed = policy.check_names(allow)
    layer = content.read(tree, name="the layer", mode_of=_as_packed, build_folders=(str(cache.root()),))
    scene = Scene(layer=layer, policy=policies.of(target, architecture))
    return tuple(finding for finding in policy.examine(scene) if finding.name not in allowed)


def refuse(findings: Iterable[Finding], *, what: str = "The layer") -> None:
    """Raise when a finding is an error.

    Raises:
        PolicyRefusedError: says what would go wrong, and how it can be overruled.

    """
    error = refusal(tuple(findings), what=what)
    if error is not None:
        raise error


def refusal(findings: Sequence[Finding], *, what: str = "The layer", listed: bool = True) -> PolicyRefusedError | None:
    """Return the error that refuses a layer, if a finding is one; ``listed`` adds the findings to it."""
    errors = [finding for finding in findings if finding.is_error]
    if not errors:
        return None
    names = tuple(dict.fromkeys(finding.name for finding in errors))
    count = f"{len(errors)} error{'s' if len(errors) > 1 else ''}"
    remedies = dict.fromkeys(finding.remedy for finding in errors)
    overrule = f"To overrule: {' '.join(f'--allow {name}' for name in names)}."
    return PolicyRefusedError(
        f"{what} is not fit for live Lambda: {count} ({', '.join(names)}).",
        remedy=f"{next(iter(remedies))} {overrule}" if len(remedies) == 1 else overrule,
        details=tuple(f"{finding.name}: {finding.file} {finding.message}" for finding in errors) if listed else (),
    )


def summary(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return a line for each rule that found something: the first finding, and how many more there are."""
    of_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        of_rule.setdefault(finding.name, []).append(finding)
    return tuple(
        f"{name}: {found[0].file} {found[0].message}" + (f" (and {len(found) - 1} more)" if len(found) > 1 else "")
        for name, found in of_rule.items()
    )


def architecture_of(layer: LayerContent) -> Architecture:
    """Return the architecture that a layer is for: what its manifest says, or most of its ELF files."""
    if layer.manifest is not None and layer.manifest.architecture in set(Architecture):
        return Architecture(layer.manifest.architecture)
    machines = [file.elf.machine for file in layer.elf_files if file.elf is not None]
    counts = {each: machines.count(each.elf_machine) for each in Architecture}
    most = max(counts, key=lambda each: counts[each])
    return most if counts[most] else Architecture.X86_64


# -- reading ----------------------------------------------------------------------------------------------------------


def _read(subject: str, aws: Callable[[], Aws]) -> tuple[str, LayerContent]:
    if subject.startswith(_ARN):
        return "layer-version", _read_version(subject, aws)
    path = Path(subject)
    if subject and path.is_dir():
        return "folder", _with_files(content.read(path, name=path.resolve().name), subject)
    if not path.is_file():
        raise UsageError(
            f"There is no {subject}." if subject else "The name of a layer is empty.",
            remedy="Name a zip, a folder that becomes /opt, or a LayerVersionArn.",
        )
    return "zip", _read_zip(path, path.name)


def _read_zip(path: Path, name: str) -> LayerContent:
    with unpacking.opened(path) as unpacked:
        layer = content.read(
            unpacked.folder,
            name=name,
            zipped=unpacked.zipped,
            mode_of=unpacked.modes.get,
        )
    return _with_files(layer, str(path))


def _with_files(layer: LayerContent, subject: str) -> LayerContent:
    """Return a layer that is not empty.

    Raises:
        UsageError: it is.

    """
    if not layer.files:
        raise UsageError(f"{subject} holds no file.", remedy="Zip the content of the folder that becomes /opt.")
    return layer


def _read_version(arn: str, aws: Callable[[], Aws]) -> LayerContent:
    from phplayer import download
    from phplayer.layer import LayerArn

    parsed = LayerArn.parse(arn)
    _check_region(parsed)
    with _temporary() as folder:
        path = folder / f"{parsed.name}.zip"
        download.download(aws().layers.content(parsed), path, name=arn)
        return _read_zip(path, f"{parsed.name}:{parsed.version}")


def _check_region(arn: LayerArn) -> None:
    """Refuse a region that is not AWS's, for otherwise all that is told of it is that its address is not known.

    Raises:
        UsageError: there is none of that name, or it is in another partition.

    """
    from phplayer.aws.regions import partition_of, regions

    if arn.region not in regions():
        raise UsageError(
            f"AWS has no region {arn.region!r} with Lambda.",
            remedy=f"{did_you_mean(arn.region, regions())}A new one is known after: pip install -U boto3",
        )
    partition = partition_of(arn.region)
    if partition != arn.partition:
        raise UsageError(
            f"{arn} cannot be: {arn.region} is in the partition {partition!r}, not {arn.partition!r}.",
            remedy=f"Write arn:{partition}:lambda:...",
        )


@contextmanager
def _temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=cache.temporary_prefix("tree"), dir=cache.folder("work")) as temporary:
        yield Path(temporary)


def _as_packed(_path: str, mode: int) -> int:
    """Return the mode that ``archive.pack`` gives a file."""
    return 0o755 if mode & stat.S_IXUSR else 0o644
