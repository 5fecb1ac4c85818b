"""Filter patterns of CloudWatch Logs, as far as the templates use them.

Source: Amazon CloudWatch Logs User Guide, "Filter pattern syntax for metric filters": a pattern in braces matches lines
of JSON only; ``$.name`` selects a member, ``=`` compares it with a string, ``&&`` joins comparisons in parentheses.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_COMPARISON: Final = re.compile(r'\(\$\.(\w+) = "([^"*]*)"\)')


def matches(pattern: str, line: str) -> bool:
    """Whether a line of a log matches a pattern. Raises ValueError for a pattern that is more than is known here."""
    body = re.fullmatch(r"\{ (.+) \}", pattern)
    comparisons = [_COMPARISON.fullmatch(part) for part in body[1].split(" && ")] if body else [None]
    wanted = [(found[1], found[2]) for found in comparisons if found is not None]
    if len(wanted) < len(comparisons):
        raise ValueError(pattern)
    try:
        document: Any = json.loads(line)
    except ValueError:
        return False
    return isinstance(document, dict) and all(document.get(name) == value for name, value in wanted)
