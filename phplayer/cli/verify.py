"""``phplayer verify``.

Its document is described by the schema that ``phplayer verify --schema`` prints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from phplayer.cli import options
from phplayer.cli.console import Console, file_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from phplayer.aws import Aws
    from phplayer.policy import Finding
    from phplayer.policy.content import LayerContent
    from phplayer.settings import Settings
    from phplayer.verifying import Verification

_SHOWN = 8  # findings of one rule on a terminal; a file, a pipe and --json get all


def verify(
    context: typer.Context,
    subject: Annotated[
        str | None, typer.Argument(metavar="ZIP|DIR|ARN", help="A layer's zip, folder or LayerVersionArn.")
    ] = None,
    *,
    others: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="OTHER", help="A layer of the same function after it; repeatable, in order."),
    ] = None,
    before: Annotated[
        list[str] | None,
        typer.Option("--after", metavar="OTHER", help="A layer of the same function before it; repeatable, in order."),
    ] = None,
    arch: Annotated[
        str | None, typer.Option("--arch", metavar="ARCH", help="x86_64 or arm64, if not what the layer itself is.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="TARGET", help="Lambda environment. [build.target]")
    ] = None,
    allow: options.Allow = None,
    endpoint_url: options.EndpointUrl = None,
    profile: options.Profile = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the schema of what --json prints.")] = False,
    _json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Tell whether a layer will run on live Lambda.

    It reads the layer, anybody's, and runs nothing. docs/verify.md lists what it finds. Errors end it with exit
    code 6; --allow overrules one by name.
    """
    from phplayer import catalog, verifying
    from phplayer.errors import UsageError
    from phplayer.runtime import Architecture
    from phplayer.settings import Settings

    console = Console.of(context)
    if schema:
        from phplayer.policy import report

        console.raw(report.SCHEMA_FILE.read_text(encoding="utf-8"))
        return
    if subject is None:
        raise UsageError("There is nothing to verify.", remedy="Name a zip, a folder that becomes /opt, or an ARN.")
    settings = Settings.load(
        flags={
            "policy.allow": options.split(allow),
            "build.target": target,
            "publish.endpoint_url": endpoint_url,
            "publish.profile": profile,
        }
    )
    known = catalog.load()
    result = verifying.verify(
        subject,
        before=before or (),
        others=others or (),
        target=known.target(settings.text("build.target") or known.default_target),
        architecture=Architecture.parse(arch) if arch else None,
        allow=settings.texts("policy.allow"),
        aws=lambda: _aws(settings),
    )
    _report(console, result)


def _aws(settings: Settings) -> Aws:
    from phplayer.aws import Aws

    return Aws.of(settings)


def _report(console: Console, result: Verification) -> None:
    from phplayer import verifying

    error = verifying.refusal(result.standing, what=result.layer.name, listed=False)
    document = _document(result)
    if console.as_json:
        if error is not None:
            document["error"] = console.error_document(error)
        console.result(document)
        if error is not None:
            raise typer.Exit(error.exit_code)
        return
    console.result({}, *_renderables(console, result))
    if error is not None:
        raise error


def _renderables(console: Console, result: Verification) -> Iterator[Any]:
    """Yield a block for each rule that found something, the worst first, and a last line that says what it comes to."""
    of_rule: dict[str, list[Finding]] = {}
    for finding in result.standing:
        of_rule.setdefault(finding.name, []).append(finding)
    for name, found in of_rule.items():
        yield console.titled(found[0].severity, name)
        shown = found if not console.out.is_terminal else found[:_SHOWN]
        for finding in shown:
            yield console.hanging(f"{finding.file} {finding.message}", indent=2)
        if len(shown) < len(found):
            yield f"  and {len(found) - len(shown)} more: see --json"
        yield console.hanging(f"fix: {found[0].remedy}", indent=2)
        yield ""
    yield _verdict(result)


def _verdict(result: Verification) -> str:
    counts = _counts(result.standing)
    told = ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count)
    allowed = len(result.findings) - len(result.standing)
    size = f"{file_size(result.layer.zipped)} zipped, " if result.layer.zipped is not None else ""
    return (
        f"{result.layer.name}: {told or 'nothing found'}{f', {allowed} allowed' if allowed else ''} "
        f"({size}{file_size(result.layer.unpacked)} unpacked, {len(result.layer.files)} files, "
        f"for {result.target.name} on {result.architecture})"
    )


def _counts(findings: Iterable[Finding]) -> dict[str, int]:
    from phplayer.policy import Severity

    severities = [finding.severity for finding in findings]
    return {severity.value: severities.count(severity) for severity in Severity}


def _document(result: Verification) -> dict[str, Any]:
    return {
        "subject": result.name,
        "kind": result.kind,
        "target": result.target.name,
        "architecture": result.architecture,
        "layer": _layer(result.layer),
        "before": [_layer(other) for other in result.before],
        "others": [_layer(other) for other in result.others],
        "fit": not result.errors,
        "counts": _counts(result.standing),
        "findings": [
            {
                "name": finding.name,
                "severity": finding.severity,
                "file": finding.file,
                "message": finding.message,
                "remedy": finding.remedy,
                "symbols": list(finding.symbols),
                "allowed": finding.name in result.allow,
            }
            for finding in result.findings
        ],
    }


def _layer(layer: LayerContent) -> dict[str, Any]:
    return {"name": layer.name, "zipped": layer.zipped, "unpacked": layer.unpacked, "files": len(layer.files)}
