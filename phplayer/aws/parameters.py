"""Systems Manager's Parameter Store."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from phplayer.aws.connection import Connection

_BATCH = 10  # names that GetParameters takes


class Parameters:
    """The calls about parameters."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def values(self, region: str, names: Iterable[str]) -> dict[str, str]:
        """Return the values of those that exist, by name.

        Raises:
            PhplayerError: it was refused.

        """
        found: dict[str, str] = {}
        for batch in _batches(names):
            with self._connection.calling("ssm:GetParameters", region):
                answer = self._connection.client("ssm", region).get_parameters(Names=batch)
                found |= {parameter["Name"]: parameter["Value"] for parameter in answer["Parameters"]}
        return found

    def put(self, region: str, name: str, value: str) -> None:
        """Write a parameter of type String, over what it holds.

        Raises:
            PhplayerError: it was refused.

        """
        with self._connection.calling("ssm:PutParameter", region):
            self._connection.client("ssm", region).put_parameter(Name=name, Value=value, Type="String", Overwrite=True)


def _batches(names: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(sorted(names))
    while batch := list(islice(rest, _BATCH)):
        yield batch
