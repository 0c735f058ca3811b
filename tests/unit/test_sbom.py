from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.spdx import is_expression
from cyclonedx.validation.json import JsonStrictValidator

from phplayer import catalog, sbom
from phplayer.catalog import libraries
from phplayer.layer import LibraryRecord, Manifest, SourceRecord
from tests import layers

OWN = SourceRecord(
    name="curl",
    version="8.14.1",
    sha256="c" * 64,
    license="curl",
    cpe="haxx:curl",
    patches=(
        "CVE-2026-1_CVE-2025-14524.patch",
        "CVE-2026-1965_1.patch",
        "cookie.patch",
        "CVE-2026-11822_CVE-2026-11824",
    ),
    patches_from="curl_8.14.1-2+deb13u5",
)
OPENSSL = ("Apache-2.0", "Artistic or GPL-1+")


def runtime(distribution: str = "debian-12") -> Manifest:
    return msgspec.structs.replace(
        layers.runtime_manifest(),
        extensions={"core": "8.4.24", "curl": "8.4.24", "redis": "6.1.0"},
        sources=(
            SourceRecord(name="php", version="8.4.24", sha256="a" * 64, license="PHP-3.01 AND Zend-2.0"),
            SourceRecord(name="redis", version="6.1.0", sha256="b" * 64, license="PHP-3.01"),
            OWN,
        ),
        libraries=(
            LibraryRecord(soname="libcurl.a", package="curl", version="8.14.1"),
            LibraryRecord(soname="libcrypto.so.3", package="openssl", version="3.0.19-1~deb12u2", license=OPENSSL),
            LibraryRecord(soname="libssl.so.3", package="openssl", version="3.0.19-1~deb12u2", license=OPENSSL),
            LibraryRecord(soname="libbz2.so.1.0", package="bzip2", version="1.0.8-5+b1"),
            LibraryRecord(soname="libodd.so.1", package="unknown", version=""),
        ),
        distribution=distribution,
    )


def vendor() -> Manifest:
    choices = ("MIT",), ("GPL-2.0-only", "MIT"), ("proprietary", "MIT"), ("(MIT or Apache-2.0)",), ()
    return layers.vendor_manifest(*choices)


def components(manifest: Manifest) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(sbom.encode(manifest))["components"]}


@pytest.mark.parametrize("manifest", [runtime(), runtime(""), layers.runtime_manifest(), vendor()])
def test_the_schema_accepts_it_and_it_is_the_same_every_time(manifest: Manifest) -> None:
    data = sbom.encode(manifest)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    assert sbom.encode(manifest) == data
    document = json.loads(data)
    assert "timestamp" not in document["metadata"]
    other = msgspec.structs.replace(manifest, key="f" * 64)
    assert json.loads(sbom.encode(other))["serialNumber"] != document["serialNumber"]


def test_what_was_compiled_has_its_checksum_and_its_kind() -> None:
    found = components(runtime())
    assert found["php"]["purl"] == f"pkg:generic/php@8.4.24?checksum=sha256:{'a' * 64}"
    assert found["php"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert [each["name"] for each in found["php"]["components"]] == ["ext-core", "ext-curl"]
    assert found["redis"]["purl"] == f"pkg:generic/pecl/redis@6.1.0?checksum=sha256:{'b' * 64}"
    assert found["curl"]["purl"] == f"pkg:generic/curl@8.14.1?checksum=sha256:{'c' * 64}"


def test_what_was_compiled_has_its_licence() -> None:
    found = components(runtime())
    assert found["php"]["licenses"] == [{"expression": "PHP-3.01 AND Zend-2.0"}]
    assert found["redis"]["licenses"] == [{"license": {"id": "PHP-3.01"}}]
    assert found["curl"]["licenses"] == [{"license": {"id": "curl"}}]


def test_patches_and_what_they_mend_are_the_pedigree_of_a_library() -> None:
    """So that a scanner does not report what is mended."""
    found = components(runtime())
    assert "pedigree" not in found["redis"]
    pedigree = found["curl"]["pedigree"]
    assert pedigree["notes"] == "Patches of Debian's source package curl_8.14.1-2+deb13u5."
    mended = {
        patch["diff"]["url"].removeprefix("debian/patches/"): [issue["id"] for issue in patch.get("resolves", ())]
        for patch in pedigree["patches"]
    }
    assert mended == {
        "CVE-2026-1_CVE-2025-14524.patch": ["CVE-2025-14524"],
        "CVE-2026-1965_1.patch": ["CVE-2026-1965"],
        "cookie.patch": [],
        "CVE-2026-11822_CVE-2026-11824": ["CVE-2026-11822", "CVE-2026-11824"],
    }


def test_every_licence_of_the_catalogue_is_an_spdx_expression() -> None:
    known = catalog.load()
    extensions = {name: each.license for name, each in known.extensions.items() if each.shared}
    own = {name: each.license for name, each in libraries.load().items()}
    for name, license_ in {"php": known.releases[0].license, **extensions, **own}.items():
        assert is_expression(license_), f"{name}: {license_!r}"


def test_libraries_name_the_package_of_the_distribution() -> None:
    openssl = components(runtime())["openssl"]
    assert openssl["purl"] == "pkg:deb/debian/openssl@3.0.19-1~deb12u2?arch=source&distro=debian-12"
    assert [each["value"] for each in openssl["properties"]] == ["libcrypto.so.3", "libssl.so.3"]
    amazon = next(name for base in catalog.load().bases.values() if base.manager == "dnf" for name in base.os_release)
    found = components(runtime(f"{amazon}-2023"))
    assert found["openssl"]["purl"].startswith(f"pkg:rpm/{amazon}/openssl@")
    assert found["openssl"]["purl"].endswith(f"?arch=x86_64&distro={amazon}-2023")
    arm = msgspec.structs.replace(runtime(f"{amazon}-2023"), architecture="arm64")
    assert "arch=aarch64" in components(arm)["openssl"]["purl"]
    assert "purl" not in components(runtime(""))["openssl"]
    assert "purl" not in found["unknown"]


def test_the_source_package_has_the_version_of_the_source() -> None:
    """What was compiled again from the same source ends in "+bN", a version that no advisory names."""
    assert components(runtime())["bzip2"]["purl"] == "pkg:deb/debian/bzip2@1.0.8-5?arch=source&distro=debian-12"
    twice = [LibraryRecord(soname=name, package="a", version=version) for name, version in (("x", "1"), ("y", "1+b2"))]
    manifest = msgspec.structs.replace(runtime(), libraries=tuple(twice))
    assert [each["value"] for each in components(manifest)["a"]["properties"]] == ["x", "y"]
    assert sbom.encode(manifest) == sbom.encode(manifest)


def test_scanners_are_told_the_system_of_the_packages() -> None:
    system = components(runtime())["debian"]
    assert (system["type"], system["version"], system["scope"]) == ("operating-system", "12", "excluded")
    assert "operating-system" not in {each["type"] for each in components(layers.runtime_manifest()).values()}


def test_what_was_compiled_is_called_as_the_vulnerability_database_does() -> None:
    found = components(runtime())
    assert found["curl"]["cpe"] == "cpe:2.3:a:haxx:curl:8.14.1:*:*:*:*:*:*:*"
    assert found["php"]["cpe"].startswith("cpe:2.3:a:php:php:8.4.24:")
    assert "cpe" not in found["redis"]
    for name, library in libraries.load().items():
        assert re.fullmatch(r"[a-z0-9_.-]+:[a-z0-9_.-]+", library.cpe), name


def licenses(*names: str) -> list[dict[str, Any]]:
    """Return how the licences of a distribution's package stand in an SBOM that the schema accepts."""
    library = LibraryRecord(soname="liba.so.1", package="a", version="1-1", license=names)
    manifest = msgspec.structs.replace(runtime(), libraries=(library,))
    data = sbom.encode(manifest)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    found: list[dict[str, Any]] = components(manifest)["a"].get("licenses", [])
    return found


def test_a_distributions_licences_are_spdx_where_they_are_certain_and_names_where_not() -> None:
    assert licenses() == []
    assert licenses("Zlib") == [{"license": {"id": "Zlib"}}]
    assert licenses("Expat", "GPL-2+ or LGPL-3") == [{"expression": "MIT AND (GPL-2.0-or-later OR LGPL-3.0-only)"}]
    assert licenses("Apache-2.0", "apache-2", "GPL-2+ with Libtool exception") == [
        {"expression": "Apache-2.0 AND GPL-2.0-or-later WITH Libtool-exception"}
    ]
    assert licenses("MIT") == [{"license": {"name": "MIT"}}]  # not SPDX's: there are many that are called so
    assert licenses(*OPENSSL) == [{"license": {"id": "Apache-2.0"}}, {"license": {"name": "Artistic or GPL-1+"}}]
    assert licenses("Expat or ISC", "public-domain") == [
        {"license": {"name": "MIT OR ISC"}},
        {"license": {"name": "public-domain"}},
    ]


def test_composer_packages_have_their_licences() -> None:
    document = json.loads(sbom.encode(vendor()))
    licenses = {each["purl"]: each.get("licenses") for each in document["components"]}
    assert licenses == {
        "pkg:composer/a/0@1.0.0": [{"license": {"id": "MIT"}}],
        "pkg:composer/a/1@1.0.0": [{"expression": "GPL-2.0-only OR MIT"}],
        "pkg:composer/a/2@1.0.0": [{"license": {"id": "MIT"}}, {"license": {"name": "proprietary"}}],
        "pkg:composer/a/3@1.0.0": [{"expression": "(MIT OR Apache-2.0)"}],
        "pkg:composer/a/4@1.0.0": None,
    }


def test_all_that_is_listed_belongs_to_the_layer() -> None:
    document = json.loads(sbom.encode(runtime()))
    layer = document["metadata"]["component"]["bom-ref"]
    depends = next(each["dependsOn"] for each in document["dependencies"] if each["ref"] == layer)
    assert sorted(depends) == sorted(each["bom-ref"] for each in document["components"])
