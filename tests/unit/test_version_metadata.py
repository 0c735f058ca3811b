from __future__ import annotations

import pytest

from phplayer import version_metadata
from tests.layers import runtime_manifest, vendor_manifest


def test_the_description_says_what_a_layer_found_later_is() -> None:
    assert version_metadata.description(runtime_manifest()) == "PHP 8.4.24, phplayer 0123456789ab"
    assert version_metadata.description(vendor_manifest()) == "Composer packages for PHP 8.4.24, phplayer 0123456789ab"


def test_a_runtime_layer_runs_on_its_architecture_and_a_vendor_layer_on_all() -> None:
    assert version_metadata.architectures(runtime_manifest(architecture="arm64")) == ("arm64",)
    assert version_metadata.architectures(vendor_manifest(architecture="arm64")) == ("x86_64", "arm64")


@pytest.mark.parametrize(
    ("licenses", "expression"),
    [
        ([("MIT",)], "MIT"),
        ([("MIT",), ("MIT",), ("BSD-3-Clause",)], "BSD-3-Clause AND MIT"),
        ([("MIT", "Apache-2.0")], "MIT OR Apache-2.0"),
        ([("MIT", "Apache-2.0"), ("BSD-3-Clause",)], "(MIT OR Apache-2.0) AND BSD-3-Clause"),
        ([("MIT",), ()], ""),
        ([(f"L-{number:0100}",) for number in range(6)], ""),
        ([], ""),
    ],
)
def test_the_licences_of_all_packages_make_one_expression(licenses: list[tuple[str, ...]], expression: str) -> None:
    assert version_metadata.license_info(vendor_manifest(*licenses)) == expression
