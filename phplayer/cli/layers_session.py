"""What the commands about layers have in common: settings, ledger and AWS, a confirmation, and how they end."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from phplayer.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phplayer.aws import Aws, Identity
    from phplayer.errors import PhplayerError
    from phplayer.inventory.regionwise import Failure
    from phplayer.ledger import Entry, Ledger, LedgerKey
    from phplayer.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Session:
    """One command's access to the ledger and to one account."""

    console: Console
    settings: Settings
    aws: Aws
    identity: Identity
    endpoint: str
    recorded: Ledger
    ledger_path: Path

    @classmethod
    def open(
        cls,
        console: Console,
        endpoint_url: str | None,
        profile: str | None,
        ledger: Path | None,
        doing: str,
        *,
        output: Path | None = None,
    ) -> Session:
        """Read the ledger, ask who we are, and say so: ``doing`` account ... as ....

        Raises:
            PhplayerError: the ledger cannot be read, or AWS does not know us.

        """
        from phplayer import ledger as ledgers
        from phplayer.settings import Settings

        settings = Settings.load(
            flags={
                "publish.endpoint_url": endpoint_url,
                "publish.profile": profile,
                "publish.ledger": ledger and ledger.absolute(),
                "build.output": output and output.absolute(),
            }
        )
        path = settings.path("publish.ledger")
        recorded = ledgers.read(path)

        from phplayer.aws import Aws, regions

        aws = Aws.of(settings)
        endpoint = aws.endpoint(aws.default_region or regions()[0])
        there = (entry.region for entry in recorded.entries if entry.endpoint == endpoint)
        home = aws.default_region or next(there, regions()[0])
        identity = aws.identity(home)
        at = "" if endpoint == ledgers.AWS_ENDPOINT else f" at {endpoint}"
        console.note(f"{doing} account {identity.account} as {identity.principal}{at}")
        return cls(
            console=console,
            settings=settings,
            aws=aws,
            identity=identity,
            endpoint=endpoint,
            recorded=recorded,
            ledger_path=path,
        )

    def recorded_places(self, layers: Sequence[str], regions: Sequence[str]) -> tuple[LedgerKey, ...]:
        """Return what the ledger has of this account (see ``inventory.places``)."""
        from phplayer.inventory import places

        return places.recorded_places(
            self.recorded, endpoint=self.endpoint, account=self.identity.account, layers=layers, regions=regions
        )

    def all_places(self, layers: Sequence[str], regions: Sequence[str]) -> tuple[LedgerKey, ...]:
        """Return recorded layers in recorded regions and in those of the settings, and what was named."""
        from phplayer.aws.regions import check_regions, is_pattern
        from phplayer.inventory import places

        configured = tuple(name for name in self.settings.texts("publish.regions") if not is_pattern(name))
        check_regions([name for name in regions if not is_pattern(name)])
        return places.all_places(
            self.recorded,
            endpoint=self.endpoint,
            account=self.identity.account,
            layers=layers,
            regions=regions or (*configured, *({entry.region for entry in self._mine})),
        )

    @property
    def strangers(self) -> int:
        """How many recorded versions are of other accounts or at other endpoints."""
        return len(self.recorded.entries) - len(self._mine)

    @property
    def _mine(self) -> tuple[Entry, ...]:
        here = (self.endpoint, self.identity.account)
        return tuple(entry for entry in self.recorded.entries if (entry.endpoint, entry.account) == here)

    def confirm(self, plan: Any, question: str, *, yes: bool) -> None:
        """Show the plan on stderr and go on only when the user says so.

        Raises:
            UsageError: nobody can be asked.

        """
        from phplayer.errors import UsageError

        if yes:
            return
        if self.console.as_json or not sys.stdin.isatty():
            raise UsageError("Nobody can be asked whether to go on.", remedy="Look with --dry-run, then pass --yes.")
        self.console.close()
        self.console.err.print(plan)
        if not self.console.confirm(question):
            self.console.note("Nothing was changed.")
            raise typer.Exit(0)

    def finish(
        self, document: dict[str, Any], error: PhplayerError | None, failures: Sequence[Failure], table: Any
    ) -> None:
        """Print the result."""
        whole: dict[str, Any] = {
            "account": self.identity.account,
            "principal": self.identity.principal,
            "endpoint": self.endpoint,
            "ledger": str(self.ledger_path),
            **document,
        }
        if error is not None:
            whole["failures"] = [
                {"where": failure.where, **self.console.error_document(failure.error)} for failure in failures
            ]
            whole["error"] = self.console.error_document(error)
        self.console.result(whole, *([table] if table is not None else []))

    def end(self, error: PhplayerError | None) -> None:
        """End with the error's exit code, if there is one; in JSON it is part of the document."""
        if error is None:
            return
        if self.console.as_json:
            raise typer.Exit(error.exit_code)
        raise error
