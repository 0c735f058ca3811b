"""How licences stand in an SBOM: as an SPDX identifier or expression where they are one, else by their names.

A component has one expression or a list of licences, never both: in a list an expression goes by its name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from phplayer import debian_copyright

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cyclonedx.model.license import License

_OPERATORS = re.compile(r" (and|or|with) ")  # Composer's own examples have them in lower case; in SPDX case matters


def stated(expression: str) -> tuple[License, ...]:
    """Return what the catalogue states: one expression, or "" where nothing is known."""
    return (_one(expression),) if expression else ()


def offered(names: Sequence[str]) -> tuple[License, ...]:
    """Return those of a Composer package: one, or several to choose from."""
    from cyclonedx.spdx import is_expression

    choice = " OR ".join(_upper(name) for name in names)
    if len(names) > 1 and not is_expression(choice):
        return tuple(_listed(name, _upper(name)) for name in names)
    return (_one(choice),) if choice else ()


def of_debian(names: Sequence[str]) -> tuple[License, ...]:
    """Return those of a Debian package, each of which applies to some of its files."""
    said = {name: debian_copyright.spdx(name) for name in names}
    if not all(said.values()):
        return tuple(_listed(name, spdx) for name, spdx in said.items())
    each = dict.fromkeys(f"({spdx})" if len(said) > 1 and " OR " in spdx else spdx for spdx in said.values())
    return (_one(" AND ".join(each)),) if each else ()


def _upper(name: str) -> str:
    from cyclonedx.spdx import is_expression

    return _OPERATORS.sub(lambda match: match[0].upper(), name) if is_expression(name) else name


def _one(text: str) -> License:
    from cyclonedx.contrib.license.factories import LicenseFactory

    return LicenseFactory().make_from_string(text)


def _listed(name: str, spdx: str) -> License:
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.spdx import is_supported_id

    return DisjunctiveLicense(id=spdx) if is_supported_id(spdx) else DisjunctiveLicense(name=spdx or name)
