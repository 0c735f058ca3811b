"""Lambda's functions, as far as layers are concerned."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phplayer.aws.connection import Connection


class Functions:
    """The calls about functions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def layers_used(self, region: str) -> frozenset[str]:
        """Return the LayerVersionArns that any function of the account uses there, in any of its versions.

        Raises:
            PhplayerError: it was refused.

        """
        with self._connection.calling("lambda:ListFunctions", region):
            pages = self._connection.pages("lambda", region, "list_functions", FunctionVersion="ALL")
            return frozenset(
                layer["Arn"]
                for page in pages
                for function in page.get("Functions", ())
                for layer in function.get("Layers") or ()
            )
