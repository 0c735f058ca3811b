"""The build flow: settings -> recipes -> compiled parts -> layer tree -> archive, and the vendor layer beside it.

    runtime     what is asked for, resolved by the catalogue; bad combinations end here
    project     composer.json and its lock are read and checked against the runtime, before anything takes time
    recipe      pure data for each part; with the engine's fingerprint it gives the key of the part's compile
    compile     parts of which the cache has that key are skipped
    layer tree  compiled PHP + grafted libraries + php.ini + bootstrap, see assembly.py; the manifest describes it
    policy      what live Lambda would trip over
    archive     runtime.zip and vendor.zip, written whole or not at all

Each archive has a key of its own over all that went into it. When ``dist`` holds an archive of that key there is
nothing to do.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from phplayer import (
    __version__,
    archive,
    assembly,
    bootstrap,
    budget,
    cache,
    describing,
    dist,
    ini,
    naming,
    policy,
    recipe,
    sbom,
    sources,
    vendor,
    verifying,
)
from phplayer import compile as compiling
from phplayer.compression import Compression
from phplayer.errors import UsageError
from phplayer.events import Noted, PhaseAdvanced, PhaseFinished, PhaseStarted, Warned
from phplayer.layer import (
    MANIFEST_PATHS,
    LayerArchive,
    RuntimeManifest,
    VendorManifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from phplayer.engines import Engine
    from phplayer.events import Event, Listener
    from phplayer.layer import Manifest
    from phplayer.runtime import Runtime
    from phplayer.settings import Settings

_SHORT = 16  # hexadecimal digits of a key that are shown


@dataclass(frozen=True, kw_only=True)
class BuiltLayer:
    """An archive in dist, and whether this run made it."""

    archive: LayerArchive
    up_to_date: bool  # it was there already


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What one build gave."""

    runtime: Runtime
    folder: Path
    layers: tuple[BuiltLayer, ...]
    seconds: float


def build(
    settings: Settings, runtime: Runtime, engine: Engine, *, source: Path | None, jobs: int, listener: Listener
) -> BuildResult:
    """Build the runtime layer, and the vendor layer where the project has a composer.json.

    Raises:
        UsageError: the project asks for what the runtime has not, or a layer name is not valid.
        EnvironmentMissingError: a package, Composer or the network is missing.
        BuildFailedError: a source cannot be trusted, a step failed, or a layer is over its budget.
        PolicyRefusedError: the result cannot run on live Lambda.

    """
    began = time.monotonic()
    flow = _Flow(settings=settings, runtime=runtime, engine=engine, source=source, jobs=jobs, listener=listener)
    flow.folder.mkdir(parents=True, exist_ok=True)

    def on_wait() -> None:
        listener(Noted(message=f"{flow.subject}: waiting for another build into {flow.folder}."))

    with cache.lock(lock_name(flow.folder), on_wait=on_wait):
        layers = list[BuiltLayer]()
        try:
            layers.append(flow.runtime_layer())
            layers.extend(flow.vendor_layer())
        finally:  # the runtime layer is there even where the vendor layer is refused
            describing.list_sums(flow.folder, [layer.archive for layer in layers])
    return BuildResult(runtime=runtime, folder=flow.folder, layers=tuple(layers), seconds=time.monotonic() - began)


def lock_name(folder: Path) -> str:
    """Return the name of the lock that a build holds while it writes into its folder."""
    return f"dist-{hashlib.sha256(str(folder).encode()).hexdigest()[:_SHORT]}"


class _Flow:
    """One build: what its steps share."""

    def __init__(
        self,
        *,
        settings: Settings,
        runtime: Runtime,
        engine: Engine,
        source: Path | None,
        jobs: int,
        listener: Listener,
    ) -> None:
        self.settings = settings
        self.runtime = runtime
        self.engine = engine
        self.source = source
        self.jobs = jobs
        self.listener = listener
        self.subject = runtime.identifier
        self.compression = Compression.of(settings)
        self.folder = dist.folder(settings, runtime)
        self.names = {kind: naming.layer_name(settings, runtime, kind) for kind in MANIFEST_PATHS}
        policy.check_names(settings.texts("policy.allow"))  # not only when all is compiled
        self.ini_files = ini.render(extensions=recipe.shared_extensions(runtime), directives=settings.table("php.ini"))
        # Composer's project is read and held against the runtime now: a refusal must not come after the compile.
        asked = {extension.name: str(runtime.php) for extension in runtime.extensions}
        self.project = None
        if vendor.has_project(settings.root):
            outputs = (settings.path("build.output"), settings.path("publish.ledger"))
            self.project = vendor.read_project(settings.root, outputs=outputs)
            vendor.check(self.project, php=runtime.php, extensions=asked)
            self.composer = vendor.find_composer(settings.text("composer.bin"), relative_to=settings.root)

    # -- the runtime layer ----------------------------------------------------------------------------------------

    def runtime_layer(self) -> BuiltLayer:
        """Return runtime.zip, made unless the one in dist is of the same key."""
        plan = recipe.plan(self.runtime, self.engine.base)
        if self.source is not None:  # a wrong file is refused even where the compile is there already
            sources.verify(self.source, self.runtime.release)
        keys = compiling.keys_on(plan, self.engine)
        key = _digest(
            __version__, *keys.values(), ini.digest(self.ini_files), bootstrap.digest(self.runtime.bootstrap),
            self.names["runtime"], self.engine.name, self.compression,
        )  # fmt: skip

        def make(tree: Path) -> Manifest:
            with compiling.compile_all(
                plan,
                self.engine,
                keys,
                given=self._given(),
                jobs=self.jobs,
                subject=self.subject,
                listener=self.listener,
            ) as parts:
                with (self.folder / "build.log").open("wb") as log:
                    log.writelines(part.log.read_bytes() for part in parts)
                return assembly.fill(
                    tree,
                    parts,
                    configure=plan.configure,
                    runtime=self.runtime,
                    engine=self.engine,
                    ini_files=self.ini_files,
                    layer=self.names["runtime"],
                    key=key,
                )

        return self._archive(dist.RUNTIME_ZIP, key, make)

    def _given(self) -> dict[str, Path]:
        """Return the tarballs that the user has, by part."""
        given = {
            extension.name: extension.source.file
            for extension in self.runtime.extensions
            if extension.source is not None and extension.source.file is not None
        }
        return {**given, recipe.PHP: self.source} if self.source is not None else given

    # -- the vendor layer -----------------------------------------------------------------------------------------

    def vendor_layer(self) -> tuple[BuiltLayer, ...]:
        """Return vendor.zip; nothing where the project has no composer.json, and then none is left in dist."""
        if self.project is None:
            for name in (dist.VENDOR_ZIP, sbom.BESIDE["vendor"]):
                (self.folder / name).unlink(missing_ok=True)
            return ()
        project, composer = self.project, self.composer
        runtime = LayerArchive.read(self.folder / dist.RUNTIME_ZIP).manifest
        assert isinstance(runtime, RuntimeManifest)  # noqa: S101  it was just written
        scripts, plugins = self.settings.flag("composer.scripts"), self.settings.flag("composer.plugins")
        content = vendor.digest(
            project,
            composer=composer,
            php=self.runtime.php,
            extensions=runtime.extensions,
            scripts=scripts,
            plugins=plugins,
        )
        key = _digest(__version__, content, self.names["vendor"], self.compression)

        def make(tree: Path) -> Manifest:
            packages = vendor.install(
                project,
                into=tree,
                composer=composer,
                php=self.runtime.php,
                extensions=runtime.extensions,
                scripts=scripts,
                plugins=plugins,
                listener=self._of_this_build,
                log=self.folder / "composer.log",
            )
            return VendorManifest(
                phplayer=__version__,
                layer=self.names["vendor"],
                key=key,
                php=str(self.runtime.php),
                target=self.runtime.target.name,
                lambda_runtime=self.runtime.target.lambda_runtime,
                architecture=self.runtime.architecture,
                composer=composer.version,
                packages=packages,
            )

        return (self._archive(dist.VENDOR_ZIP, key, make),)

    def _of_this_build(self, event: Event) -> None:
        """Pass on what the vendor layer's flow tells: among several builds, the project does not say which."""
        if isinstance(event, PhaseStarted | PhaseAdvanced | PhaseFinished):
            event = replace(event, subject=self.subject)
        self.listener(event)

    # -- both -----------------------------------------------------------------------------------------------------

    def _archive(self, file: str, key: str, make: Callable[[Path], Manifest]) -> BuiltLayer:
        """Return the archive of that key in dist, made unless it is there."""
        path = self.folder / file
        waiting = budget.aside(path)
        present = _archive_of(path, key) or _archive_of(waiting, key)
        if present is not None:
            self._check_again(present)
        made = present or self._made(path.name, waiting, make)
        admitted = budget.admit(made, path, self.settings)
        describing.copy_beside(admitted)
        return BuiltLayer(archive=admitted, up_to_date=present is not None)

    def _made(self, name: str, path: Path, make: Callable[[Path], Manifest]) -> LayerArchive:
        """Fill the tree, describe it, check it, pack it."""
        with tempfile.TemporaryDirectory(prefix=cache.temporary_prefix("tree"), dir=cache.folder("work")) as temporary:
            tree = Path(temporary)
            manifest = make(tree)
            describing.write(tree, manifest)
            self._check_policy(tree, manifest)
            return self._pack(tree, name, path)

    def _check_policy(self, tree: Path, manifest: Manifest) -> None:
        """Refuse what cannot run on live Lambda; warn of what only a run there can tell."""
        findings = verifying.verify_tree(
            tree,
            target=self.runtime.target,
            architecture=self.runtime.architecture,
            allow=self.settings.texts("policy.allow"),
        )
        verifying.refuse(findings, what=f"The layer {manifest.layer}")
        for line in verifying.summary(findings):
            self.listener(Warned(message=line))
        native = self.runtime.target.native_base
        if isinstance(manifest, RuntimeManifest) and manifest.base != native:
            self.listener(
                Noted(
                    message=f"Compiled on {manifest.base}, not on {native}: it carries its own libraries; "
                    f"what it needs of glibc was checked against {self.runtime.target.name}."
                )
            )

    def _check_again(self, present: LayerArchive) -> None:
        """Refuse an archive that is there because its findings were overruled then, and are no more."""
        findings = verifying.verify_archive(
            present.path,
            target=self.runtime.target,
            architecture=self.runtime.architecture,
            allow=self.settings.texts("policy.allow"),
        )
        verifying.refuse(findings, what=f"The layer {present.manifest.layer}")

    def _pack(self, tree: Path, name: str, path: Path) -> LayerArchive:
        """Write the layer archive."""
        phase, began = f"pack {name}", time.monotonic()
        self.listener(PhaseStarted(subject=self.subject, phase=phase))
        archive.pack(tree, path, compression=self.compression)
        made = LayerArchive.read(path)
        outcome = f"{made.size / 1_000_000:.1f} MB zipped, {made.unpacked / 1_000_000:.1f} MB unpacked"
        self.listener(
            PhaseFinished(subject=self.subject, phase=phase, seconds=time.monotonic() - began, outcome=outcome)
        )
        return made


def _archive_of(path: Path, key: str) -> LayerArchive | None:
    """Return the archive if it is there, whole and of that key."""
    if not path.is_file():
        return None
    try:
        found = LayerArchive.read(path)
    except UsageError:
        return None
    return found if found.manifest.key == key else None


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join((describing.FORMAT, *parts)).encode()).hexdigest()
