"""Lengths of time as options."""

from __future__ import annotations

import re
from typing import Any, Final

import click

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


class Age(click.ParamType[int]):
    """A length of time, such as 90s, 15m, 1h or 2d; in seconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a length of time."""
        found = re.fullmatch(r"(\d{1,9})([smhd]?)", str(value))
        if found is None:
            self.fail(f"{value!r} is no length of time: say 90s, 15m, 1h or 2d", param, ctx)
        return int(found[1]) * _UNITS[found[2]]
