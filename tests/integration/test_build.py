"""`phplayer build` for real: the layer it makes, what a second run does, full disks, what is missing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from elftools.elf.elffile import ELFFile

from phplayer import catalog, elf, policy
from phplayer.layer import LayerArchive, RuntimeManifest
from phplayer.runtime import Architecture
from tests.conftest import PHP, PINNED, ROOT, SCRIPTS, WORK, Built, Phplayer, cache_folder


def php(built: Built, *arguments: str) -> str:
    """Run the layer's PHP where it lies, with its own configuration."""
    extensions = built.tree / "lib" / "php" / "extensions"
    scan = built.tree / "etc" / "php" / "conf.d"
    done = subprocess.run(
        [built.php, "-c", built.tree / "etc" / "php" / "php.ini", "-d", f"extension_dir={extensions}", *arguments],
        env={"PHP_INI_SCAN_DIR": str(scan), "LD_LIBRARY_PATH": "/lib64:/usr/lib64"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_the_layer_is_laid_out_as_documented(built: Built) -> None:
    files = {path.relative_to(built.tree).as_posix() for path in built.tree.rglob("*") if path.is_file()}
    assert {"bootstrap", "bin/php", "etc/php/php.ini", "phplayer.json", "lib/php/extensions/opcache.so"} <= files
    tops = {file.split("/")[0] for file in files}
    assert tops == {"bootstrap", "bin", "lib", "etc", "phplayer", "phplayer.json", "share"}
    assert (built.tree / "bootstrap").read_text().startswith("#!/opt/bin/php\n")
    assert all(os.access(built.tree / name, os.X_OK) for name in ("bootstrap", "bin/php"))


def test_php_has_what_was_asked_for_and_our_ini(built: Built) -> None:
    manifest = LayerArchive.read(built.dist / "runtime.zip").manifest
    assert isinstance(manifest, RuntimeManifest)
    loaded = {
        name.lower().removeprefix("zend ")
        for name in json.loads(php(built, "-r", "echo json_encode(get_loaded_extensions());"))
    }
    asked = {*catalog.load().sets["default"], "opcache"}
    assert asked <= loaded
    assert asked <= set(manifest.extensions)
    opcache = ("-d", "opcache.enable_cli=1")  # off by default: it is loaded all the same
    assert (
        php(built, *opcache, "-r", 'echo PHP_VERSION, ini_get("display_errors"), opcache_get_status() !== false;')
        == f"{manifest.php}01"
    )


def test_libraries_are_grafted_and_nothing_of_glibc_is(built: Built) -> None:
    target = catalog.load().target("al2023")
    carried = {path.name for path in (built.tree / "lib").glob("*.so*")}
    assert {"libonig.so.5", "libssl.so.3", "libcrypto.so.3"} <= carried
    assert not carried & (target.glibc_sonames | target.never_grafted)
    assert policy.check(built.tree, target=target, architecture=Architecture.of_this_machine()) == ()
    # The loader is asked what it really takes, with Lambda's search path in the way.
    listed = subprocess.run(
        ["ldd", built.php], env={"LD_LIBRARY_PATH": "/lib64"}, capture_output=True, text=True, check=True
    )
    for soname, path in re.findall(r"(\S+) => (\S+)", listed.stdout):
        if soname in carried:
            assert Path(path).is_relative_to(built.tree), f"{soname} comes from {path}"


def test_nothing_is_left_of_symbols_or_of_this_machine(built: Built) -> None:
    here = {str(cache_folder()).encode(), str(WORK).encode()}
    for path in elf.files(built.tree):
        data = path.read_bytes()
        with path.open("rb") as file:
            sections = {section.name for section in ELFFile(file).iter_sections()}
        assert not {name for name in sections if name.startswith((".debug", ".symtab"))}, path
        assert not any(place in data for place in here), path
        assert b"X" * 20 not in data, f"{path}: a search path was overwritten"
    with zipfile.ZipFile(built.dist / "runtime.zip") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_manifest_is_in_the_zip_and_beside_it(built: Built) -> None:
    assert (built.tree / "phplayer.json").read_bytes() == (built.dist / "manifest.json").read_bytes()
    manifest = json.loads((built.dist / "manifest.json").read_text())
    assert manifest["layer"] == f"php-84-{Architecture.of_this_machine()}"
    sources = {source["name"]: source["sha256"] for source in manifest["sources"]}
    assert sources["php"] == catalog.load().release(PHP).sha256
    grafts = {library["soname"]: library["package"] for library in manifest["libraries"]}
    assert grafts["libssl.so.3"] == "openssl"
    assert grafts["libcurl.a"] == "curl"


def test_a_second_build_does_nothing_and_says_so(built: Built, phplayer: Phplayer) -> None:
    project = built.dist.parents[1]
    before = {path.name: path.stat().st_mtime_ns for path in built.dist.iterdir()}
    done = phplayer("build", "--json", cwd=project)
    document = json.loads(done.stdout)
    assert [layer["up_to_date"] for layer in document["builds"][0]["layers"]] == [True, True]
    assert "up to date: nothing to do" in done.stderr
    assert {path.name: path.stat().st_mtime_ns for path in built.dist.iterdir()} == before


def test_another_php_ini_packs_again_without_compiling(built: Built, phplayer: Phplayer, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "phplayer.toml").write_text('[php]\nini = { memory_limit = "123M" }\n')
    done = phplayer("build", cwd=project)
    assert "compile" not in done.stderr
    layer = next(project.glob("dist/*/runtime.zip"))
    assert layer.stat().st_size != (built.dist / "runtime.zip").stat().st_size
    with zipfile.ZipFile(layer) as archive:
        assert b'memory_limit = "123M"' in archive.read("etc/php/conf.d/50-project.ini")


def test_a_layer_that_must_not_be_published_is_made_only_where_that_is_allowed(
    built: Built, phplayer: Phplayer, tmp_path: Path
) -> None:
    key = "AKIA" + "Q3EGRIGHT7XZ5MNW"
    (tmp_path / "phplayer.toml").write_text(f'[php]\nini = {{ user_agent = "{key}" }}\n')
    refused = phplayer("build", cwd=tmp_path, check=False)
    assert refused.returncode == 6, refused.stderr
    assert "is not fit for live Lambda: 1 error (aws-credentials)." in refused.stderr
    assert "etc/php/conf.d/50-project.ini holds AKIAQ3EG..." in refused.stderr
    assert key not in refused.stderr
    assert not list(tmp_path.glob("dist/*/*.zip"))
    phplayer("build", "--allow", refused.stderr.rpartition("--allow ")[2].strip().rstrip("."), cwd=tmp_path)
    assert list(tmp_path.glob("dist/*/runtime.zip"))
    again = phplayer("build", cwd=tmp_path, check=False)  # it is there, but nobody overrules the finding any more
    assert (again.returncode, "error (aws-credentials)" in again.stderr) == (6, True), again.stderr
    assert "up to date" in phplayer("build", "--allow", "aws-credentials", cwd=tmp_path).stderr


def test_a_broken_archive_in_dist_is_made_again(built: Built, phplayer: Phplayer, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(built.dist.parents[1], project)
    archive = next(project.glob("dist/*/runtime.zip"))
    archive.write_bytes(archive.read_bytes()[:1000])
    phplayer("build", cwd=project)
    assert archive.read_bytes() == (built.dist / "runtime.zip").read_bytes()


def test_a_full_disk_ends_the_build_with_its_reason(phplayer: Phplayer, tmp_path: Path) -> None:
    """The cache is a file system of 100 MB, mounted in a namespace of the test's own."""
    cache = tmp_path / "cache"
    (cache / "sources").mkdir(parents=True)
    sources = cache_folder() / "sources"
    script = (
        'mount -t tmpfs -o size=100m full "$1" && mkdir "$1/sources"; cp "$2"/* "$1/sources" 2>/dev/null; '
        'PHPLAYER_CACHE="$1" exec "$3" build --extension minimal'
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", cache, sources, SCRIPTS / "phplayer"],
        cwd=tmp_path,
        env=os.environ | PINNED,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {4, 5}
    assert "No space left on device" in done.stderr
    assert "PHPLAYER_CACHE" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("dist/*/*.zip"))


@pytest.mark.parametrize(
    ("composer", "said"),
    [
        ('{"require": {', "composer.json"),
        ('{"require": {"ext-gd": "*"}}', "ext-gd"),
    ],
)
def test_a_bad_composer_project_is_refused_before_anything_is_compiled(
    phplayer: Phplayer, tmp_path: Path, composer: str, said: str
) -> None:
    (tmp_path / "composer.json").write_text(composer)
    (tmp_path / "composer.lock").write_text('{"packages": [], "packages-dev": [], "content-hash": "x"}')
    done = phplayer("build", cwd=tmp_path, env={"PHPLAYER_CACHE": str(tmp_path / "cache")}, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "fix: " in done.stderr
    assert not list((tmp_path / "cache").glob("work/*"))


def test_a_missing_compiler_or_header_names_the_package(tmp_path: Path) -> None:
    """dpkg is asked for the snmp extension's headers, in a place whose list of packages has them not."""
    installed = Path("/var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n")
    others = (package for package in installed if not package.startswith("Package: libsnmp-dev\n"))
    (tmp_path / "status").write_text("\n\n".join(others), encoding="utf-8")
    done = subprocess.run(
        [
            *("unshare", "-rm", "sh", "-c", 'mount --bind "$1" /var/lib/dpkg/status && exec "$2" build -e snmp', "sh"),
            *(tmp_path / "status", SCRIPTS / "phplayer"),
        ],
        cwd=tmp_path,
        env=os.environ | PINNED | {"PHPLAYER_CACHE": str(tmp_path / "cache"), "PHPLAYER_BUILD_ENGINE": "host"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert re.search(r"To compile here, .* must be installed: .*libsnmp-dev", done.stderr)
    assert re.search(r"apt-get install -y --no-install-recommends .*libsnmp-dev", done.stderr)


def test_without_network_and_mirror_the_reasons_are_named(phplayer: Phplayer, tmp_path: Path) -> None:
    """A release that Debian has not, with php.net cut off by a proxy that nobody serves."""
    environment = {"PHPLAYER_CACHE": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:1"}
    done = phplayer("build", "--php", "8.5", "-e", "minimal", cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 4
    assert "www.php.net: cannot connect" in done.stderr
    assert "--source FILE" in done.stderr


def test_a_layer_over_its_budget_is_named_part_by_part_and_not_put_in_its_place(
    built: Built, tmp_path: Path, phplayer: Phplayer
) -> None:
    project = shutil.copytree(ROOT / "examples" / "hello", tmp_path / "hello")
    environment = {"PHPLAYER_LAYER_COMPRESSION": "fast"}
    refused = phplayer("build", "--max-size", "1 MB", cwd=project, env=environment, check=False)
    assert refused.returncode == 5, refused.stderr
    assert refused.stdout == ""
    assert re.search(r"layer is \d+\.\d\d MB zipped, [\d,]+ bytes over its budget of 1\.00 MB", refused.stderr)
    assert len(re.findall(r"^ +\d+\.\d\d [Mk]B .* %  ", refused.stderr, re.MULTILINE)) == 10
    assert "PHP php" in refused.stderr
    (waiting,) = (project / "dist").glob("*/*.zip")
    assert waiting.name == "runtime.over-budget.zip"
    nothing = phplayer("publish", "--dry-run", "--region", "eu-central-1", cwd=project, check=False)
    assert nothing.returncode == 3
    before = waiting.read_bytes()
    phplayer("build", "--max-size", "200 MB", cwd=project, env=environment)
    assert not waiting.exists()
    assert (waiting.parent / "runtime.zip").read_bytes() == before
    again = phplayer("build", "--max-size", "1 MB", cwd=project, env=environment, check=False)
    assert (again.returncode, waiting.is_file()) == (5, True)
    assert not (waiting.parent / "SHA256SUMS").exists()
    wrong = phplayer("build", "--max-size", "small", cwd=project, check=False)
    assert (wrong.returncode, "no size" in wrong.stderr) == (2, True)


def test_the_bill_of_materials_is_in_the_layers_and_beside_them(built: Built) -> None:
    for name, inside, beside in (
        ("runtime.zip", "phplayer/sbom.cdx.json", "sbom.cdx.json"),
        ("vendor.zip", "vendor/sbom.cdx.json", "vendor.sbom.cdx.json"),
    ):
        with zipfile.ZipFile(built.dist / name) as opened:
            data = opened.read(inside)
        assert (built.dist / beside).read_bytes() == data
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    manifest = LayerArchive.read(built.dist / "runtime.zip").manifest
    assert isinstance(manifest, RuntimeManifest)
    listed = json.loads((built.dist / "sbom.cdx.json").read_bytes())["components"]
    files = {each["value"] for component in listed for each in component.get("properties", ())}
    assert files == {library.soname for library in manifest.libraries}
    compiled = {component["name"]: component for component in listed}
    for source in manifest.sources:
        assert compiled[source.name]["licenses"], "what was compiled has its licence"
    mended = {issue["id"] for patch in compiled["curl"]["pedigree"]["patches"] for issue in patch.get("resolves", ())}
    assert mended, "and the vulnerabilities that patches mend"
    packages = {library.package for library in manifest.libraries if not library.soname.endswith(".a")}
    assert packages
    assert any(compiled[package].get("licenses") for package in packages), "what the distribution's packages say"
    assert [each["name"] for each in listed if each["type"] == "operating-system"] == [
        manifest.distribution.partition("-")[0]
    ]


def test_sha256sum_finds_the_archives_as_they_were_built(built: Built) -> None:
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=built.dist, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("runtime.zip: OK\nvendor.zip: OK\n", "")


def test_the_licences_of_all_that_is_carried_take_little_room(built: Built) -> None:
    manifest = LayerArchive.read(built.dist / "runtime.zip").manifest
    assert isinstance(manifest, RuntimeManifest)
    text = (built.tree / "share" / "doc" / "phplayer" / "LICENSES.txt").read_text(encoding="utf-8")
    told = {
        name.split(" (")[0] for head in re.findall(r"^=+\n(.+)\n=+$", text, re.MULTILINE) for name in head.split(", ")
    }
    assert {"phplayer", *(source.name for source in manifest.sources)} <= told
    assert {library.package for library in manifest.libraries} - {"unknown"} <= told
    with zipfile.ZipFile(built.dist / "runtime.zip") as opened:
        names = ("share/doc/phplayer/LICENSES.txt", "phplayer/sbom.cdx.json")
        assert sum(opened.getinfo(name).compress_size for name in names) < 150_000
