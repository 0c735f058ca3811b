"""Every rule against a layer that breaks it and no other, made from one that breaks none."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from phplayer import catalog, elf, policy
from phplayer.errors import UsageError
from phplayer.layer import LibraryRecord, encode_manifest
from phplayer.policy import RULES, Finding, content, policies
from phplayer.policy.content import LayerContent, LayerFile
from phplayer.policy.policies import Policy
from phplayer.policy.scene import Scene
from phplayer.runtime import Architecture
from tests import binaries, layers
from tests.conftest import ROOT

HERE = Architecture.of_this_machine()
POLICY = policies.of(catalog.load().target("al2023"), HERE)
KEY_ID = "AKIA" + "Q3EGRIGHT7XZ5MNW"  # in two parts, so that no scanner takes this file for a leak
PEM_BEGIN = "-----BEGIN " + "RSA PRIVATE KEY-----"
TO_LIB = "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib"
MAIN = "int a(void); int main(void) { return a(); }"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer tree without a flaw: a program, a library of its own, one that Lambda has too, an extension, an ini."""
    tree = tmp_path_factory.mktemp("sound") / "opt"
    ours = binaries.library(tree / "lib" / "libz.so.1", "int z(void) { return 1; }")
    own = binaries.library(tree / "lib" / "liba.so.1")
    binaries.compile_c(
        tree / "bin" / "php", "int a(void); int z(void); int main(void) { return a() + z(); }", own, ours, TO_LIB
    )
    binaries.compile_c(
        tree / "lib" / "php" / "extensions" / "thing.so", "int t(void) { return 1; }", "-shared", "-fPIC"
    )
    _write(tree / "bootstrap", "#!/opt/bin/php\n<?php\n", 0o755)
    _write(tree / "etc" / "php" / "php.ini", "; extension=absent\nextension=thing\n")
    _write(tree / "phplayer.json", encode_manifest(layers.runtime_manifest(architecture=HERE)).decode())
    for path in tree.rglob("*.so*"):
        path.chmod(0o644)
    return tree


@pytest.fixture
def tree(sound: Path, tmp_path: Path) -> Path:
    """A copy of it to break."""
    return Path(shutil.copytree(sound, tmp_path / "opt"))


def _write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def examine(tree: Path, *others: LayerContent, policy_: Policy = POLICY) -> tuple[Finding, ...]:
    return policy.examine(Scene(layer=content.read(tree), others=others, policy=policy_))


# -- a layer for each rule --------------------------------------------------------------------------------------------


def missing_library(tree: Path) -> str:
    (tree / "lib" / "liba.so.1").unlink()
    return "bin/php needs liba.so.1, which is neither in the layer nor on live Lambda"


def image_only_library(tree: Path) -> str:
    gone = binaries.library(tree / "libgcrypt.so.20")
    binaries.compile_c(tree / "bin" / "tool", MAIN, gone)
    gone.unlink()
    return "bin/tool needs libgcrypt.so.20, which is in the container image but not on live Lambda"


def unreachable_library(tree: Path) -> str:
    binaries.compile_c(tree / "bin" / "tool", MAIN, binaries.library(tree / "private" / "libb.so.1"))
    return "bin/tool needs libb.so.1, which lies at private/libb.so.1, where nothing looks for it"


def symbol_version(tree: Path) -> str:
    newer = binaries.versioned_library(tree / "libxml2.so.2", "xmlNew", "LIBXML2_2.99.0")
    binaries.compile_c(tree / "bin" / "tool", "int xmlNew(void); int main(void) { return xmlNew(); }", newer)
    newer.unlink()
    return "bin/tool needs xmlNew at LIBXML2_2.99.0 of libxml2.so.2; al2023 has LIBXML2_2.9.11"


def runpath(tree: Path) -> str:
    binaries.patchelf(tree / "bin" / "php", "--set-rpath", "$ORIGIN/../lib")
    return "bin/php finds libz.so.1 by DT_RUNPATH, which LD_LIBRARY_PATH overrides: Lambda's own is loaded"


def shadowed_library(tree: Path) -> str:
    binaries.patchelf(tree / "bin" / "php", "--remove-rpath")
    return "lib/libz.so.1 is not what bin/php will load: Lambda's own libz.so.1 is found first"


def unknown_symbol_version(tree: Path) -> str:
    theirs = binaries.versioned_library(tree / "libkrb5.so.3", "krb", "krb5_3_MIT")
    binaries.compile_c(tree / "bin" / "tool", "int krb(void); int main(void) { return krb(); }", theirs)
    theirs.unlink()
    return "bin/tool needs krb5_3_MIT of libkrb5.so.3; of Lambda's own none are known"


def wrong_architecture(tree: Path) -> str:
    path = tree / "lib" / "php" / "extensions" / "thing.so"
    data = bytearray(path.read_bytes())
    data[18:20] = (40).to_bytes(2, "little")  # e_machine
    path.write_bytes(data)
    return f"lib/php/extensions/thing.so is for arm, and the layer for {HERE}"


def damaged_elf(tree: Path) -> str:
    path = tree / "lib" / "php" / "extensions" / "thing.so"
    path.write_bytes(path.read_bytes()[:100])
    return "lib/php/extensions/thing.so cannot be read: thing.so is damaged: "


def foreign_loader(tree: Path) -> str:
    binaries.patchelf(tree / "bin" / "php", "--set-interpreter", "/lib/ld-musl-x86_64.so.1")
    return "bin/php asks for the loader /lib/ld-musl-x86_64.so.1, which live Lambda has not"


def isa_level(tree: Path) -> str:
    binaries.compile_c(tree / "bin" / "tool", "int main(void) { return 0; }", "-Wl,-z,x86-64-v4")
    return "bin/tool needs x86-64-v4; every machine of Lambda has x86-64-v3"


def glibc_carried(tree: Path) -> str:
    binaries.library(tree / "lib" / "libm.so.6")
    return "lib/libm.so.6 is a part of glibc"


def compiler_runtime_carried(tree: Path) -> str:
    binaries.library(tree / "lib" / "libstdc++.so.6")
    return "lib/libstdc++.so.6 is a runtime of the compiler, which Lambda has"


def text_relocations(tree: Path) -> str:
    code = 'int a; __asm__(".text\\nmovabs $a, %rax\\n");'
    binaries.library(tree / "lib" / "libt.so.1", code, "-Wl,-z,notext")
    return "lib/libt.so.1 has text relocations"


def executable_stack(tree: Path) -> str:
    binaries.library(tree / "lib" / "libt.so.1", "int t;", "-Wl,-z,execstack")
    return "lib/libt.so.1 asks for an executable stack"


def rpath_outside(tree: Path) -> str:
    binaries.library(tree / "lib" / "libt.so.1", "int t;", "-Wl,--disable-new-dtags,-rpath,/usr/local/lib")
    return "lib/libt.so.1 has /usr/local/lib in DT_RPATH, which is not in a layer"


def rpath_nowhere(tree: Path) -> str:
    binaries.library(tree / "lib" / "libt.so.1", "int t;", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/private")
    return "lib/libt.so.1 has /opt/lib/private in DT_RUNPATH, a folder that is not there"


def debug_information(tree: Path) -> str:
    binaries.library(tree / "lib" / "libt.so.1", "int t;", "-g", "-ffile-prefix-map=/=")
    return f"lib/libt.so.1 holds {elf.read(tree / 'lib' / 'libt.so.1').debug:,} bytes of debugging information"


def not_executable(tree: Path) -> str:
    (tree / "bin" / "php").chmod(0o644)
    (tree / "bootstrap").write_text("#!/bin/sh\n")
    return "bin/php has mode 0644, so Lambda cannot start it"


def unreadable(tree: Path) -> str:
    (tree / "etc" / "php" / "php.ini").chmod(0o640)
    return "etc/php/php.ini has mode 0640, so Lambda cannot read it"


def setuid(tree: Path) -> str:
    (tree / "bin" / "php").chmod(0o4755)
    return "bin/php has mode 4755"


def world_writable(tree: Path) -> str:
    (tree / "etc" / "php" / "php.ini").chmod(0o646)
    return "etc/php/php.ini has mode 0646"


def absolute_symlink(tree: Path) -> str:
    (tree / "bin" / "php8").symlink_to("/opt/bin/php")
    return "bin/php8 names /opt/bin/php"


def symlink_leaves_layer(tree: Path) -> str:
    (tree / "lib" / "passwd").symlink_to("../../etc/passwd")
    return "lib/passwd leads to ../../etc/passwd, out of the layer"


def dangling_symlink(tree: Path) -> str:
    (tree / "lib" / "liba.so").symlink_to("liba.so.9")
    return "lib/liba.so leads to liba.so.9, which is not there"


def bootstrap_missing(tree: Path) -> str:
    (tree / "bootstrap").unlink()
    return "bootstrap is not there, and without it Lambda starts nothing"


def bootstrap_interpreter(tree: Path) -> str:
    (tree / "bootstrap").write_text("#!/usr/local/bin/php\n")
    return "bootstrap starts with /usr/local/bin/php, which is neither in the layer nor on live Lambda"


def script_interpreter(tree: Path) -> str:
    _write(tree / "bin" / "tool", "#!/usr/bin/env python3\n", 0o755)
    return "bin/tool starts with /usr/bin/env python3, which is neither in the layer nor on live Lambda"


def ini_extension(tree: Path) -> str:
    _write(tree / "etc" / "php" / "conf.d" / "x.ini", "extension = absent.so\n")
    return "etc/php/conf.d/x.ini has extension=absent.so, which is not in the layer"


def aws_credentials(tree: Path) -> str:
    beside = "wJalrXUtnFEMIK7MDENG/bPxRfiCYzz1pleK3y0A"
    _write(tree / "config.json", f'{{"key": "{KEY_ID}", "secret": "{beside}"}}')
    return f"config.json holds {KEY_ID[:8]}... beside a secret key"


def private_key(tree: Path) -> str:
    _write(tree / "key.pem", f"{PEM_BEGIN}\n{'MIIEowIBAAKCAQEA' * 4}\n")
    return "key.pem holds RSA PRIVATE KEY"


def secret_file(tree: Path) -> str:
    _write(tree / ".git" / "config", "[core]\n")
    _write(tree / ".git" / "HEAD", "ref: refs/heads/main\n")
    return ".git is a Git repository with all its history"


def build_path(tree: Path) -> str:
    code = 'const char *where(void) { return "/home/jane/php-src/main/main.c"; }'
    binaries.library(tree / "lib" / "libt.so.1", code)
    return "lib/libt.so.1 names /home/jane/php-src/main/main.c"


BROKEN: dict[str, Callable[[Path], str]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        missing_library, image_only_library, unreachable_library, symbol_version, runpath, shadowed_library,
        unknown_symbol_version, wrong_architecture, damaged_elf, foreign_loader, isa_level, glibc_carried,
        compiler_runtime_carried, text_relocations, executable_stack, rpath_outside, rpath_nowhere, debug_information,
        not_executable, unreadable, setuid, world_writable, absolute_symlink, symlink_leaves_layer, dangling_symlink,
        bootstrap_missing, bootstrap_interpreter, script_interpreter, ini_extension,
        aws_credentials, private_key, secret_file, build_path,
    )
}  # fmt: skip
OF_SIZES = {"zipped-size", "unpacked-size", "too-many-layers", "hidden-file"}  # below, without any file


def test_a_sound_layer_has_no_findings(tree: Path) -> None:
    assert examine(tree) == ()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_layer_has_that_finding_and_no_other(tree: Path, name: str) -> None:
    expected = BROKEN[name](tree)
    (finding,) = examine(tree)
    assert finding.name == name
    assert f"{finding.file} {finding.message}".startswith(expected)
    assert finding.remedy


def test_every_rule_is_tested() -> None:
    assert {*BROKEN, *OF_SIZES} == {rule.name for rule in RULES}
    assert len({rule.name for rule in RULES}) == len(RULES)


# -- sizes: of values, no file is that large --------------------------------------------------------------------------


def layer(name: str, zipped: int = 1, /, **files: tuple[int, int]) -> LayerContent:
    """A layer of files whose content is a size and a checksum."""
    made = {
        path: LayerFile(path=path, mode=0o644, size=size, checksum=checksum) for path, (size, checksum) in files.items()
    }
    return LayerContent(name=name, files=made, zipped=zipped)


def of_layers(first: LayerContent, *others: LayerContent) -> list[tuple[str, str]]:
    findings = policy.examine(Scene(layer=first, others=others, policy=POLICY))
    return [(finding.name, f"{finding.file} {finding.message}") for finding in findings]


def test_limits_are_what_aws_documents() -> None:
    assert (POLICY.zipped_direct, POLICY.unpacked, POLICY.layers) == (50 * 1024**2, 250 * 1024**2, 5)


def test_a_zip_over_50_mb_is_noted_to_go_through_s3() -> None:
    assert of_layers(layer("a.zip", 52_428_800, x=(1, 1))) == []
    ((name, message),) = of_layers(layer("a.zip", 52_428_801, x=(1, 1)))
    assert (name, message) == (
        "zipped-size",
        "a.zip is 52,428,801 bytes zipped; a call takes 52,428,800, more goes through S3",
    )


def test_unpacked_it_must_fit_alone_and_with_the_others() -> None:
    half = layer("a.zip", x=(131_072_000, 1))
    assert of_layers(half, layer("b.zip", y=(131_072_000, 1))) == []
    ((name, message),) = of_layers(half, layer("b.zip", y=(131_072_001, 1)))
    assert name == "unpacked-size"
    assert message == "a.zip is with 1 other 262,144,001 bytes unpacked; Lambda takes 262,144,000"
    ((name, message),) = of_layers(layer("a.zip", x=(262_144_001, 1)))
    assert message == "a.zip is 262,144,001 bytes unpacked; Lambda takes 262,144,000"


def test_a_function_takes_five_layers() -> None:
    layers_ = [layer(f"{name}.zip", 1, **{name: (1, 1)}) for name in "abcdef"]
    assert of_layers(*layers_[:5]) == []
    assert of_layers(*layers_) == [("too-many-layers", "a.zip is one of 6 layers; a function takes 5")]


def test_a_different_file_at_the_same_path_is_hidden_and_an_equal_one_is_not() -> None:
    first, second = layer("a.zip", x=(1, 1), y=(2, 2)), layer("b.zip", x=(1, 1), y=(2, 3))
    assert of_layers(first, second) == [("hidden-file", "y of a.zip is hidden by that of b.zip")]


def test_layers_before_it_count_and_lie_below_it() -> None:
    first, second, third = layer("a.zip", x=(1, 1)), layer("b.zip", x=(1, 2)), layer("c.zip", x=(1, 3), y=(1, 1))
    found = policy.examine(Scene(layer=second, before=(first,), others=(third,), policy=POLICY))
    assert [finding.message for finding in found] == [
        "of a.zip is hidden by that of b.zip", "of b.zip is hidden by that of c.zip"
    ]  # fmt: skip
    many = tuple(layer(f"{name}.zip", 1, **{name: (60_000_000, 1)}) for name in "abcde")
    found = policy.examine(Scene(layer=layer("own.zip", z=(1, 1)), before=many, policy=POLICY))
    assert [f"{finding.name}: {finding.message}" for finding in found] == [
        "unpacked-size: is with 5 others 300,000,001 bytes unpacked; Lambda takes 262,144,000",
        "too-many-layers: is one of 6 layers; a function takes 5",
    ]


def test_of_a_file_that_another_layer_hides_only_that_is_told(tree: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tree, tmp_path / "broken"))
    (broken / "lib" / "liba.so.1").unlink()
    (broken / "bootstrap").write_text("#!/nowhere\n")
    below, above = content.read(broken, name="broken"), content.read(tree, name="sound")
    names = [finding.name for finding in policy.examine(Scene(layer=below, others=(above,), policy=POLICY))]
    assert names == ["hidden-file"]
    names = [finding.name for finding in policy.examine(Scene(layer=below, before=(above,), policy=POLICY))]
    assert names == ["bootstrap-interpreter", "hidden-file"]


# -- what only looks like a flaw --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("example.md", "AKIA" + "IOSFODNN7EXAMPLE"),
        ("placeholder.php", "AKIA" + "X" * 16),
        ("longer.txt", "XAKIA" + "Q3EGRIGHT7XZ5MNW"),
        ("pem.php", f"$begin = '{PEM_BEGIN}'; // and no key"),
        ("public.pem", "-----BEGIN PUBLIC KEY-----\n" + "MIIEowIBAAKCAQEA" * 4),
        (".env.example", "SECRET="),
        ("example.yml", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("digest.yml", f"aws_secret_access_key: {'ab12' * 16}"),
        (
            "code.php",
            "<?php $secret = getenv('AWS_SECRET_ACCESS_KEY'); // from the environment of the function, always",
        ),
        ("vendor/a/README.md", "cd /home/jane/project"),
        ("etc/php/other.txt", "extension=absent"),
        ("etc/php/conf.d/y.ini", ';extension=absent\nextension="thing.so"\nopcache.enable=1\n'),
        ("etc/php/conf.d/z.ini", "extension_dir=/var/task/ext\nextension=mine\n"),
        ("notes.txt", "see http://example.org/home/jane/x, /build/x and /tmp/.X11-unix/X0"),
    ],
)
def test_what_only_looks_like_a_flaw_is_none(tree: Path, path: str, text: str) -> None:
    _write(tree / path, text)
    assert examine(tree) == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("AWS_SECRET_ACCESS_KEY={}\n", "a secret access key"),
        ("<?php return ['aws_secret_access_key' => '{}'];", "a secret access key"),
        ('{{"aws_secret_access_key": "{}"}}', "a secret access key"),
        ("-----BEGIN " + "PGP PRIVATE KEY BLOCK-----\nVersion: 2\n\n{}", "PGP PRIVATE KEY"),
    ],
)
def test_secrets_are_found_in_each_form(tree: Path, text: str, shown: str) -> None:
    _write(tree / "settings", text.format("wJalrXUtnFEMI7K7MDENG/bPxRfiCYzz1pleK3y0"))
    assert [f"{finding.file} {finding.message}" for finding in examine(tree)] == [f"settings holds {shown}"]


def test_a_folder_that_lambdas_user_may_not_enter_is_unreadable(tree: Path) -> None:
    (tree / "etc" / "php").chmod(0o750)
    assert [(finding.name, f"{finding.file} {finding.message}") for finding in examine(tree)] == [
        ("unreadable", "etc/php has mode 0750, so Lambda cannot look into the folder")
    ]


def test_a_layer_whose_folder_was_zipped_with_it_has_no_bootstrap(tree: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    tree.rename(outer / "php")
    (finding,) = (finding for finding in examine(outer) if finding.file == "bootstrap")
    assert (finding.name, finding.message) == ("bootstrap-missing", "is not there: it lies at php/bootstrap")
    (outer / "README").write_text("Several things, of which one has a bootstrap.")
    assert not [finding for finding in examine(outer) if finding.file == "bootstrap"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("#!/bin/sh\n", ""),
        ("#! /usr/bin/env -S php\n", ""),
        ("#!/usr/bin/env FOO=1 sh\n", ""),
        ("#!/bin/sh\r\n", "has Windows line ends"),
        ("#!\n", "names no interpreter"),
        ("<?php\n", "begins neither with #! nor as an ELF file"),
        ("#!/usr/bin/env ruby\n", "starts with /usr/bin/env ruby, which is neither"),
        ("#!/opt/lib/liba.so.1\n", "which is not executable"),
    ],
)
def test_a_bootstrap_must_be_startable(tree: Path, text: str, problem: str) -> None:
    (tree / "bootstrap").write_bytes(text.encode())
    messages = [finding.message for finding in examine(tree)]
    assert len(messages) == bool(problem)
    assert all(problem in message for message in messages)


def test_a_bootstrap_that_is_a_link_leads_to_what_can_be_started(tree: Path) -> None:
    (tree / "bootstrap").rename(tree / "lib" / "start")
    (tree / "bootstrap").symlink_to("lib/start")
    assert examine(tree) == ()
    (tree / "lib" / "start").chmod(0o644)
    (finding,) = examine(tree)
    assert (finding.name, finding.file) == ("not-executable", "bootstrap")
    assert finding.message == "leads to lib/start, which has mode 0644"


@pytest.mark.parametrize("folder", ["/builddir/build/BUILD/php-8", "/build/reproducible-path/php"])
def test_a_distributions_path_is_a_trace_where_the_library_is_not_taken_from_it(tree: Path, folder: str) -> None:
    def code(path: str) -> str:
        return f'const char *where(void) {{ return "{path}"; }}'

    def found() -> list[str]:
        return [f"{finding.name}: {finding.file} {finding.message}" for finding in examine(tree)]

    library = binaries.library(tree / "lib" / "libt.so.1", code(f"{folder}/a.c"))
    assert found() == [f"build-path: lib/libt.so.1 names {folder}/a.c"]
    taken = LibraryRecord(soname="libt.so.1", package="t", version="1")
    manifest = msgspec.structs.replace(layers.runtime_manifest(architecture=HERE), libraries=(taken,))
    (tree / "phplayer.json").write_bytes(encode_manifest(manifest))
    assert found() == []
    binaries.library(library, code("/home/jane/t/a.c"))
    assert found() == ["build-path: lib/libt.so.1 names /home/jane/t/a.c"]


def test_a_vendor_layer_needs_no_bootstrap_and_sees_the_runtime_layer(tree: Path, tmp_path: Path) -> None:
    vendor = tmp_path / "vendor-layer"
    _write(vendor / "vendor" / "autoload.php", "<?php\n")
    _write(vendor / "vendor" / "phplayer.json", encode_manifest(layers.vendor_manifest()).decode())
    _write(vendor / "etc" / "php" / "conf.d" / "more.ini", "extension=thing\n")
    assert [finding.name for finding in examine(vendor)] == ["ini-extension"]
    assert examine(vendor, content.read(tree)) == ()


def test_a_link_within_the_layer_is_followed_to_its_file(tree: Path) -> None:
    (tree / "lib" / "liba.so.1").rename(tree / "lib" / "liba.so.1.2")
    (tree / "lib" / "liba.so.1").symlink_to("liba.so.1.2")
    (tree / "lib64").symlink_to("lib")
    binaries.patchelf(tree / "bin" / "php", "--force-rpath", "--set-rpath", "$ORIGIN/../lib64")
    assert examine(tree) == ()


def test_a_link_in_a_circle_leads_nowhere(tree: Path) -> None:
    (tree / "a").symlink_to("b")
    (tree / "b").symlink_to("a")
    assert {(finding.name, finding.message) for finding in examine(tree)} == {
        ("symlink-leaves-layer", "leads to a, in a circle"),
        ("symlink-leaves-layer", "leads to b, in a circle"),
    }


def test_an_extension_finds_what_its_program_has_loaded_and_searches_where_that_does(tree: Path) -> None:
    extension = tree / "lib" / "php" / "extensions" / "other.so"
    private = binaries.library(tree / "private" / "libp.so.1", "int p(void) { return 1; }")
    code = "int z(void); int p(void); int o(void) { return z() + p(); }"
    binaries.compile_c(extension, code, "-shared", "-fPIC", tree / "lib" / "libz.so.1", private)
    assert [finding.message for finding in examine(tree)] == [
        "needs libp.so.1, which lies at private/libp.so.1, where nothing looks for it"
    ]
    binaries.patchelf(tree / "bin" / "php", "--force-rpath", "--set-rpath", "$ORIGIN/../lib:$ORIGIN/../private")
    assert examine(tree) == ()


def test_the_layers_own_library_must_define_the_version_too(tree: Path) -> None:
    old = binaries.versioned_library(tree / "lib" / "libv.so.1", "v", "V_2")
    binaries.compile_c(tree / "bin" / "tool", "int v(void); int main(void) { return v(); }", old, TO_LIB)
    assert examine(tree) == ()
    binaries.versioned_library(tree / "lib" / "libv.so.1", "v", "V_1")
    (finding,) = examine(tree)
    assert (finding.name, finding.symbols) == ("symbol-version", ("v",))
    assert finding.message == "needs v at V_2 of libv.so.1, which lib/libv.so.1 does not define"


def test_a_loader_of_glibc_newer_than_the_targets_is_named_with_its_symbols(tree: Path) -> None:
    old = dataclasses.replace(POLICY, glibc="2.2")
    findings = [finding for finding in examine(tree, policy_=old) if finding.file == "bin/php"]
    assert {finding.name for finding in findings} == {"symbol-version"}
    assert any("__libc_start_main" in finding.symbols for finding in findings)


def test_names_to_allow_are_checked() -> None:
    assert policy.check_names(["runpath"]) == {"runpath"}
    with pytest.raises(UsageError, match="'runpth'") as caught:
        policy.check_names(["runpth"])
    assert caught.value.remedy.startswith("Did you mean 'runpath'?")


@pytest.mark.parametrize("architecture", Architecture)
def test_every_target_has_a_policy(architecture: Architecture) -> None:
    for target in catalog.load().targets.values():
        made = policies.of(target, architecture)
        assert not made.image_only & made.sonames
        assert set(made.versions) <= made.sonames
        assert [loader.rpartition("/")[2] in made.sonames for loader in made.loaders] == [True, True]


@pytest.mark.parametrize(
    ("soname", "version", "offered"),
    [
        ("libm.so.6", "GLIBC_2.34", True),
        ("libm.so.6", "GLIBC_2.35", False),
        ("libc.so.6", "GLIBC_ABI_DT_RELR", False),
        ("libstdc++.so.6", "GLIBCXX_3.4.33", True),
        ("libstdc++.so.6", "GLIBCXX_3.4.34", False),
        ("libstdc++.so.6", "CXXABI_1.3.9", True),
        ("libstdc++.so.6", "CXXABI_TM_1", True),
        ("libgcc_s.so.1", "GCC_14.0.0", True),
        ("libgcc_s.so.1", "GCC_15.0.0", False),
        ("libssl.so.3", "OPENSSL_3.0.0", True),
        ("libssl.so.3", "OPENSSL_3.4.0", False),
        ("libcurl.so.4", "CURL_OPENSSL_4", None),
        ("libkrb5.so.3", "krb5_3_MIT", None),
    ],
)
def test_symbol_versions_of_live_lambda(soname: str, version: str, offered: bool | None) -> None:
    assert POLICY.offers(soname, version) is offered


def test_the_documentation_lists_every_rule() -> None:
    text = (ROOT / "docs" / "verify.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    expected = [(rule.name, str(rule.severity), rule.summary, rule.remedy) for rule in RULES]
    wanted = "\n".join(f"| `{name}` | {how} | {summary} | {remedy} |" for name, how, summary, remedy in expected)
    assert rows == expected, f"docs/verify.md should have:\n{wanted}"
