"""``phplayer new-function``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phplayer.cli import options
from phplayer.cli.console import Console

if TYPE_CHECKING:
    from phplayer.runtime import Architecture
    from phplayer.scaffold import LayerChoice, NewFunction
    from phplayer.settings import Settings

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the function, and of the folder that is made.")]
Region = Annotated[
    list[str] | None,
    typer.Option("--region", "-r", metavar="REGION", help="Only these of the recorded regions; repeatable."),
]
Account = Annotated[
    str | None, typer.Option("--account", metavar="ID", help="Account of the layers, where several are recorded.")
]
Php = Annotated[
    str | None, typer.Option("--php", metavar="VERSION", help="Branch or exact version of the layer. [the newest]")
]
Arch = Annotated[
    str | None, typer.Option("--arch", metavar="ARCH", help="x86_64 or arm64. [this machine's before others]")
]


def new_function(
    context: typer.Context,
    name: Name,
    *,
    php: Php = None,
    arch: Arch = None,
    region: Region = None,
    account: Account = None,
    endpoint_url: options.EndpointUrl = None,
    ledger: options.Ledger = None,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Write a function wired to the published layers.

    It comes with a test event, an AWS SAM template and the next commands.
    """
    from phplayer import catalog, scaffold
    from phplayer.runtime import Architecture
    from phplayer.settings import Settings

    console = Console.of(context)
    function_name = scaffold.FunctionName(name)
    settings = Settings.load(
        flags={"publish.endpoint_url": endpoint_url, "publish.ledger": ledger and ledger.absolute()}
    )
    regions = options.split(region) or ()
    architecture = Architecture.parse(arch) if arch else None
    endpoint, layers = _layers(settings, regions, account or "", architecture=architecture, php=php or "")
    if layers is None:
        where = "".join((f" in {', '.join(regions)}" if regions else "", f" for {endpoint}" if endpoint else ""))
        command = "".join(("phplayer publish", *(f" -r {name}" for name in regions)))
        console.warn(
            f"No published layer is recorded{where}, so the template asks for the ARNs when it is deployed. "
            f"To have them filled in: {command}, then make the function anew."
        )
    else:
        vendor = f" and {layers.vendor}" if layers.vendor else ""
        console.note(f"Layers: {layers.runtime}{vendor} (PHP {layers.php}, {layers.architecture})")
        if layers.left_out:
            console.warn(f"Left out, for {layers.vendor} is not published there: {', '.join(layers.left_out)}")
    known = catalog.load()
    target = known.target(settings.text("build.target") or known.default_target)
    made = scaffold.create(
        function_name, Path.cwd(), layers=layers, lambda_runtime=target.lambda_runtime, architecture=architecture
    )
    _report(console, made)


def _layers(
    settings: Settings, regions: tuple[str, ...], account: str, *, architecture: Architecture | None, php: str
) -> tuple[str, LayerChoice | None]:
    """Return the endpoint, when it matters, and the layers chosen from the ledger, if it has any."""
    from phplayer import ledger, scaffold

    recorded = ledger.read(settings.path("publish.ledger"))
    if not recorded.entries and not regions:
        return "", None

    from phplayer.aws import Aws, check_regions
    from phplayer.aws import regions as all_regions

    aws = Aws.of(settings)
    asked = check_regions(regions)
    endpoint = aws.endpoint(asked[0] if asked else all_regions()[0])
    layers = scaffold.choose_layers(
        recorded,
        endpoint=endpoint,
        account=account,
        regions=asked,
        prefix=settings.text("layer.name"),
        architecture=architecture,
        php=php,
    )
    return ("AWS" if endpoint == ledger.AWS_ENDPOINT else endpoint), layers


def _report(console: Console, made: NewFunction) -> None:
    layers = made.layers
    document: dict[str, Any] = {
        "function": made.name,
        "folder": str(made.folder),
        "files": [str(path) for path in made.files],
        "handler": "index",
        "php": layers.php if layers else None,
        "architecture": str(layers.architecture) if layers else None,
        "layers": [
            {"region": each.region, "runtime": each.runtime, "vendor": each.vendor or None}
            for each in (layers.regions if layers else ())
        ],
        "next": [f"cd {made.name}", "phplayer invoke --event events/hello.json"],
    }
    files = "\n".join(f"  {made.name}/{path}" for path in made.files)
    following = " && ".join(document["next"])
    console.result(document, f"Made the function {made.name}:\n{files}\n\nNext: {following}")
