"""``phplayer build``.

Its document: ``builds`` (each ``identifier``, ``php``, ``target``, ``architecture``, ``directory``, ``seconds``,
``layers`` and ``error``), and ``error``, the first of them, where one failed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phplayer.cli import build_report, options
from phplayer.cli.console import Console, file_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.batch import Request
    from phplayer.engines import EngineOptions
    from phplayer.events import Event, Listener
    from phplayer.runtime import Runtime
    from phplayer.settings import Settings


def build(
    context: typer.Context,
    *,
    php: options.Php = None,
    arch: options.Arch = None,
    only: options.Only = None,
    print_identifiers: Annotated[
        bool, typer.Option("--print-identifiers", help="Print what would be built, and build nothing.")
    ] = False,
    extension: Annotated[
        list[str] | None,
        typer.Option(
            "--extension", "-e", metavar="NAME", help="Extension, or set of them; repeatable. [php.extensions]"
        ),
    ] = None,
    extension_source: Annotated[
        list[str] | None,
        typer.Option(
            "--extension-source",
            metavar="NAME=FILE|URL@SHA256",
            help="Source of an extension, which is added; repeatable. [php.extension_sources]",
        ),
    ] = None,
    from_composer: Annotated[
        bool,
        typer.Option("--from-composer", help="Add the extensions that composer.json and composer.lock require."),
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="First part of the layers' names. [layer.name]")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--source", metavar="FILE", help="PHP's source tarball, instead of fetching it.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=0, help="Compilers at once, all builds together. [build.jobs]")
    ] = None,
    parallel: Annotated[
        int | None, typer.Option("--parallel", min=0, help="Builds side by side. [build.parallel]")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="auto|docker|host",
            help="Where to compile: in a container, on this machine, or what there is. [build.engine]",
        ),
    ] = None,
    base_image: Annotated[
        str | None, typer.Option("--base-image", metavar="IMAGE", help="Image to compile in. [build.base_image]")
    ] = None,
    keep_container: Annotated[
        bool,
        typer.Option("--keep-container", help="Leave the container when the build ends, and say how to enter it."),
    ] = False,
    print_bake: Annotated[
        bool,
        typer.Option("--print-bake", help="Print a docker-bake.hcl that compiles elsewhere, and build nothing."),
    ] = False,
    compiled: Annotated[
        Path | None,
        typer.Option("--compiled", metavar="DIR", help="Pack what docker-bake.hcl compiled into DIR."),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            "--max-size", metavar="SIZE", help="Fail where the zipped runtime layer is larger. [layer.max_size]"
        ),
    ] = None,
    output: options.Output = None,
    allow: options.Allow = None,
    composer: Annotated[
        str | None, typer.Option("--composer", metavar="PROGRAM", help="The Composer to run. [composer.bin]")
    ] = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Compile PHP and pack it as a Lambda layer.

    Several PHP versions and architectures are built side by side. Where the folder has a composer.json, its
    packages become a second layer.
    """
    from phplayer import batch, budget, extension_sources, matrix, naming
    from phplayer.settings import Settings

    console = Console.of(context)
    settings = Settings.load(
        flags={
            "php.version": options.split(php),
            "php.extensions": options.split(extension),
            "php.extension_sources": extension_sources.split(extension_source, relative_to=Path.cwd())
            if extension_source
            else None,
            "layer.name": name,
            "layer.max_size": max_size,
            "build.arch": options.split(arch),
            "build.engine": engine,
            "build.base_image": base_image,
            "build.jobs": jobs,
            "build.parallel": parallel,
            "build.output": output.resolve() if output else None,
            "composer.bin": composer,
            "policy.allow": options.split(allow),
        }
    )
    if from_composer:
        settings = _with_composers_extensions(console, settings)
    limit = settings.size("cache.max_size")
    for budgeted in budget.SETTINGS.values():
        settings.size(budgeted)  # one that is no size is refused before anything takes time
    runtimes = matrix.runtimes(settings, only=options.split(only) or ())
    if print_identifiers:
        names = [runtime.identifier for runtime in runtimes]
        console.result({"identifiers": names}, "\n".join(names))
        return
    if print_bake:
        from phplayer import bake

        text = bake.bake_file(runtimes, base_image=settings.text("build.base_image"))
        console.result({"bake": text}, text.rstrip("\n"))
        return
    naming.check_names(settings, runtimes)
    _warn_of_end_of_life(console, runtimes)
    wanted = _engine_options(settings, keep_container=keep_container, compiled=compiled)
    requests, parallel = _requests(console, settings, runtimes, wanted, source)
    outcomes = batch.build_all(requests, parallel=parallel, listener=console.listen)
    _keep_within_the_limit(console, settings, limit)
    build_report.report(console, outcomes)


def _with_composers_extensions(console: Console, settings: Settings) -> Settings:
    """Return settings that also ask for what the Composer project requires."""
    from phplayer import dependencies

    project = dependencies.read_project(settings.root)
    given = [name.lower() for name in settings.table("php.extension_sources")]
    names = dependencies.wanted_extensions(project, given=given)
    console.note(f"Composer requires: {', '.join(names) or 'no extension'}.")
    return settings.using("php.extensions", (*settings.texts("php.extensions"), *names))


def _warn_of_end_of_life(console: Console, runtimes: Sequence[Runtime]) -> None:
    """Say which of the PHP branches gets no security fixes any more, or soon will not."""
    import datetime as dt

    today = dt.datetime.now(dt.UTC).date()
    for release in dict.fromkeys(runtime.release for runtime in runtimes):
        warning = release.support_warning(today)
        if warning:
            console.warn(warning)


def _engine_options(settings: Settings, *, keep_container: bool, compiled: Path | None) -> EngineOptions:
    from phplayer.engines import NAMES, EngineOptions

    return EngineOptions(
        engine=settings.choice("build.engine", NAMES, "engine"),
        base_image=settings.text("build.base_image"),
        keep_container=keep_container,
        compiled=compiled.resolve() if compiled else None,
        ccache=settings.flag("build.ccache"),
        memory=settings.size("build.memory"),
        cpus=settings.number("build.cpus"),
    )


def _requests(
    console: Console, settings: Settings, runtimes: Sequence[Runtime], wanted: EngineOptions, source: Path | None
) -> tuple[Sequence[Request], int]:
    """Open the engines, so that what cannot be built is refused before anything is.

    Returns the requests and how many of them run side by side.
    """
    from phplayer import batch
    from phplayer.engines import choose
    from phplayer.errors import UsageError

    if source is not None and len({runtime.php for runtime in runtimes}) > 1:
        raise UsageError(
            "--source is one PHP's tarball, and several versions are to be built.",
            remedy="Choose one with --php or --only.",
        )
    # Docker's engine depends on the architecture, what was compiled elsewhere on all.
    own = {runtime: runtime if wanted.compiled else runtime.architecture for runtime in runtimes}
    firsts = {place: runtime for runtime, place in reversed(own.items())}
    listen = _once(console.listen)
    engines = {place: choose(wanted, runtime, listen) for place, runtime in firsts.items()}
    parallel, jobs = batch.share(
        len(runtimes),
        compilers=min(engine.compilers() for engine in engines.values()),
        parallel=settings.number("build.parallel"),
        jobs=settings.number("build.jobs"),
    )
    requests = [
        batch.Request(
            settings=settings,
            runtime=runtime,
            options=replace(wanted, engine=engines[own[runtime]].name),
            engine=engines[own[runtime]],
            source=source.resolve() if source else None,
            jobs=jobs,
        )
        for runtime in runtimes
    ]
    return requests, parallel


def _once(listen: Listener) -> Listener:
    """Return a listener that passes each event on once: what two architectures have in common is told once."""
    heard: set[Event] = set()

    def listener(event: Event) -> None:
        if event not in heard:
            heard.add(event)
            listen(event)

    return listener


def _keep_within_the_limit(console: Console, settings: Settings, limit: int) -> None:
    """Remove what was not used for longest when the cache has grown over its limit."""
    from phplayer import cleaning

    removed = cleaning.remove(cleaning.over(limit))
    if removed:
        freed = file_size(sum(item.size for item in removed))
        console.note(f"The cache was over {settings.text('cache.max_size')}: {freed} of the least recently used freed.")
