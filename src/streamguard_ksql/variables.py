"""Variables: `${name}` in SQL text (docs/how-to-guides/substitute-variables.md and ksqldb-reference/define.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """The text with each `${name}` replaced by the variable's value, as it was defined; values are not searched again.

    Names are case-insensitive. It happens everywhere, also between quotes: `'${topic}'`. `$${name}` gives `${name}`.
    A variable that is not defined stays as it is: outside of quotes the parser then names it.
    """
    values = {name.upper(): value for name, value in variables.items()}

    def value(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        return values.get(match[2].upper(), match[0])

    return _REFERENCE.sub(value, text)
