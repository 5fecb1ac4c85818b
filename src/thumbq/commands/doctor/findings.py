"""What a look finds: what it is, why it matters, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thumbq.errors import Problem

_OF_THE_START: Final = "the service says so at its start, too"


class Level(Enum):
    """How much a finding weighs."""

    NOTE = "note"
    """Good to know; nothing has to be done."""
    FINDING = "finding"
    """It hurts now, or will one day."""
    NOT_SEEN = "not seen"
    """A part could not be looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found; ``fix`` is a command or a setting."""

    level: Level
    what: str
    why: str
    fix: str


class Findings:
    """All that was found, in the order of the looks; the same thing stands there once."""

    def __init__(self) -> None:
        self._found: dict[Finding, None] = {}
        self._denied: dict[str, None] = {}

    def finding(self, what: str, why: str, fix: str) -> None:
        """Add what has to be mended."""
        self._found[Finding(Level.FINDING, what, why, fix)] = None

    def note(self, what: str, why: str, fix: str) -> None:
        """Add what is good to know."""
        self._found[Finding(Level.NOTE, what, why, fix)] = None

    def problems(self, problems: Iterable[Problem | None], level: Level = Level.FINDING) -> None:
        """Add problems as the rest of thumbq words them: what it is, a colon, and why it matters."""
        for problem in problems:
            if problem is not None:
                what, _, why = problem.what.partition(": ")
                self._found[Finding(level, what, why or _OF_THE_START, problem.fix)] = None

    def denied_to_us(self, action: str) -> None:
        """Note a right that only this look would need, and that thumbq does without."""
        self._denied[action] = None

    def all(self) -> tuple[Finding, ...]:
        """Return all that was found."""
        if not self._denied:
            return tuple(self._found)
        rights = ", ".join(self._denied)
        note = Finding(
            Level.NOTE,
            f"not looked at, since these rights are missing here: {rights}",
            "the service does without them; what they would show may be wrong all the same",
            "run `thumbq doctor` as somebody who has them",
        )
        return (*self._found, note)
