"""The software bill of materials of a layer, in CycloneDX's JSON: all of it follows from the manifest.

Layers are reproducible, so the document has no time, and its serial number is derived from the layer's key (a UUID of
version 5). Identifiers follow the purl specification: ``pkg:deb`` and ``pkg:rpm`` for what came from a distribution,
``pkg:composer`` for Composer packages, ``pkg:generic`` with the source's checksum for what was compiled from a tarball.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from phplayer import catalog, sbom_licenses
from phplayer.layer import RuntimeManifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cyclonedx.model.component import Component, Pedigree
    from packageurl import PackageURL

    from phplayer.layer import LibraryRecord, Manifest, PackageRecord, SourceRecord, VendorManifest

PATHS = {"runtime": "phplayer/sbom.cdx.json", "vendor": "vendor/sbom.cdx.json"}
"""Where each kind of layer has its SBOM. They differ because layers merge at /opt."""

BESIDE = {"runtime": "sbom.cdx.json", "vendor": "vendor.sbom.cdx.json"}
"""What the copy beside the archive is called."""

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/phplayer")
_DEB = "deb"
_PURL_TYPES = {"apt": _DEB, "dnf": "rpm"}  # package manager -> type of its packages' purls
_RPM_ARCHITECTURES = {"arm64": "aarch64"}  # where rpm's name is not Lambda's
_NO_PURL = "distribution"  # stands for the type where the distribution is not known
_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_PHP = "php"
_REBUILT = re.compile(r"\+b\d+$")  # ends the version of a package that was compiled again from the same source
_STATIC = ".a"  # ends the name of a library that was compiled for the layer and linked into what needs it
_PROPERTY = "phplayer:"


def encode(manifest: Manifest) -> bytes:
    """Return the SBOM of the layer that has this manifest: the same bytes for the same manifest."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    components = tuple(_runtime(manifest) if isinstance(manifest, RuntimeManifest) else _vendor(manifest))
    layer = _layer(manifest)
    bom = Bom(components=components, serial_number=uuid.uuid5(_NAMESPACE, f"{manifest.layer} {manifest.key}"))
    bom.metadata.component = layer
    bom.metadata.tools.components.add(_tool(manifest.phplayer))
    bom.register_dependency(layer, components)
    document = json.loads(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string())
    del document["metadata"]["timestamp"]  # the library sets one whatever is asked for
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def _layer(manifest: Manifest) -> Component:
    facts = {name: str(getattr(manifest, name)) for name in ("key", "target", "lambda_runtime", "architecture")}
    return _component("application", manifest.layer, manifest.php, ref=f"layer:{manifest.layer}", facts=facts)


def _tool(version: str) -> Component:
    return _component("application", "phplayer", version, ref="tool:phplayer")


# -- the runtime layer ------------------------------------------------------------------------------------------------


def _runtime(manifest: RuntimeManifest) -> Iterator[Component]:
    own = {source.name: source for source in manifest.sources if _is_library(source, manifest.libraries)}
    sources = {source.name: source for source in manifest.sources if own.get(source.name) is not source}
    bundled = {name: version for name, version in manifest.extensions.items() if name not in sources}
    yield _compiled_php(manifest, sources.get(_PHP), bundled)
    for name, source in sorted(sources.items()):
        if name != _PHP:
            yield _from_source("library", source, namespace="pecl")
    for name, source in sorted(own.items()):
        files = [record.soname for record in manifest.libraries if record.package == name]
        yield _from_source("library", source, files=files)
    packages: dict[tuple[str, str], list[LibraryRecord]] = {}
    for record in manifest.libraries:
        if not (record.package in own and record.soname.endswith(_STATIC)):
            packages.setdefault((record.package, _version(record, manifest)), []).append(record)
    for (name, version), records in sorted(packages.items()):
        yield _from_distribution(name, version, records, manifest)
    if packages and manifest.distribution:
        yield _distribution(manifest.distribution)


def _is_library(source: SourceRecord, libraries: Iterable[LibraryRecord]) -> bool:
    """Tell whether it is a library's: an extension and a library can have the same name."""
    return any(
        (record.package, record.version) == (source.name, source.version) and record.soname.endswith(_STATIC)
        for record in libraries
    )


def _compiled_php(manifest: RuntimeManifest, source: SourceRecord | None, bundled: dict[str, str]) -> Component:
    checksum = source.sha256 if source is not None else ""
    php = _component(
        "platform",
        _PHP,
        manifest.php,
        ref=f"{_PHP}@{manifest.php}",
        purl=_generic(_PHP, manifest.php, checksum),
        sha256=checksum,
        licenses=sbom_licenses.stated(source.license if source is not None else ""),
        cpe=f"cpe:2.3:a:php:php:{manifest.php}:*:*:*:*:*:*:*",
    )
    php.components.update(
        _component("library", f"ext-{name}", version, ref=f"ext-{name}@{version}")
        for name, version in sorted(bundled.items())
    )
    return php


def _from_source(kind: str, source: SourceRecord, *, namespace: str = "", files: Iterable[str] = ()) -> Component:
    return _component(
        kind,
        source.name,
        source.version,
        ref=f"{namespace or 'source'}:{source.name}@{source.version}",
        purl=_generic(source.name, source.version, source.sha256, namespace),
        sha256=source.sha256,
        licenses=sbom_licenses.stated(source.license),
        cpe=f"cpe:2.3:a:{source.cpe}:{source.version}:*:*:*:*:*:*:*" if source.cpe else None,
        pedigree=_pedigree(source) if source.patches else None,
        facts={"file": files},
    )


def _pedigree(source: SourceRecord) -> Pedigree:
    """Tell the patches, and the vulnerabilities that they mend: those that their names hold."""
    from cyclonedx.model import XsUri
    from cyclonedx.model.component import Diff, Patch, PatchClassification, Pedigree
    from cyclonedx.model.issue import IssueClassification, IssueType, IssueTypeSource

    def issue(cve: str) -> IssueType:
        nvd = IssueTypeSource(name="NVD", url=XsUri(f"https://nvd.nist.gov/vuln/detail/{cve}"))
        return IssueType(type=IssueClassification.SECURITY, id=cve, source=nvd)

    patches = (
        Patch(
            type=PatchClassification.BACKPORT,
            diff=Diff(url=XsUri(f"debian/patches/{name}")),
            resolves=[issue(cve) for cve in dict.fromkeys(_CVE.findall(name))],
        )
        for name in source.patches
    )
    return Pedigree(patches=patches, notes=f"Patches of Debian's source package {source.patches_from}.")


def _from_distribution(
    name: str, version: str, records: Sequence[LibraryRecord], manifest: RuntimeManifest
) -> Component:
    """Describe a distribution's package; on Debian the source package, which its advisories name."""
    from packageurl import PackageURL

    distribution = manifest.distribution.partition("-")[0]
    kind = _kind(manifest)
    architecture = "source" if kind == _DEB else _RPM_ARCHITECTURES.get(manifest.architecture, manifest.architecture)
    qualifiers = {"distro": manifest.distribution, "arch": architecture}
    names = dict.fromkeys(license_ for record in records for license_ in record.license)
    return _component(
        "library",
        name,
        version,
        ref=f"{kind}:{name}@{version}",
        purl=PackageURL(kind, distribution, name, version, qualifiers) if kind != _NO_PURL and version else None,
        licenses=sbom_licenses.of_debian(tuple(names)),
        facts={"file": [record.soname for record in records]},
    )


def _kind(manifest: RuntimeManifest) -> str:
    """Return the purl type of the distribution's packages."""
    base = catalog.load().base_of(manifest.distribution.partition("-")[0])
    return _PURL_TYPES[base.manager] if base is not None else _NO_PURL


def _version(record: LibraryRecord, manifest: RuntimeManifest) -> str:
    """Return the version of the source: packages that were compiled again from it are one."""
    return _REBUILT.sub("", record.version) if _kind(manifest) == _DEB else record.version


def _distribution(id_and_version: str) -> Component:
    """Describe the system that the packages are of. Scanners choose their advisories by it."""
    from cyclonedx.model.component import ComponentScope

    name, _, version = id_and_version.partition("-")
    return _component(
        "operating-system",
        name,
        version,
        ref=f"os:{id_and_version}",
        scope=ComponentScope.EXCLUDED,
        description="The system whose packages the libraries are of; nothing else of it is in the layer.",
    )


# -- the vendor layer -------------------------------------------------------------------------------------------------


def _vendor(manifest: VendorManifest) -> Iterator[Component]:
    for package in manifest.packages:
        yield _composer_package(package)


def _composer_package(package: PackageRecord) -> Component:
    from packageurl import PackageURL

    group, _, name = package.name.rpartition("/")
    purl = PackageURL("composer", group or None, name, package.version)
    return _component(
        "library",
        name,
        package.version,
        ref=purl.to_string(),
        group=group,
        purl=purl,
        licenses=sbom_licenses.offered(package.license),
    )


# -- both -------------------------------------------------------------------------------------------------------------


def _component(kind: str, name: str, version: str, *, ref: str, **more: Any) -> Component:
    """Make a component; ``facts`` become properties, one for each value, and ``sha256`` a hash."""
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    facts: dict[str, str | Iterable[str]] = more.pop("facts", {})
    sha256 = more.pop("sha256", "")
    several = ((key, [value] if isinstance(value, str) else value) for key, value in facts.items())
    return Component(
        type=ComponentType(kind),
        name=name,
        version=version or None,
        bom_ref=ref,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else None,
        properties=[Property(name=_PROPERTY + key, value=value) for key, values in several for value in values],
        **more,
    )


def _generic(name: str, version: str, sha256: str, namespace: str = "") -> PackageURL:
    from packageurl import PackageURL

    qualifiers = {"checksum": f"sha256:{sha256}"} if sha256 else None
    return PackageURL("generic", namespace or None, name, version or None, qualifiers)
