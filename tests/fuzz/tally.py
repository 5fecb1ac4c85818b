"""The findings of a run, as figures that add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

MIB: Final = 1 << 20
_LISTED: Final = 10


@dataclass(frozen=True, slots=True, order=True)
class Trace:
    """One input and a figure of it (milliseconds, MiB)."""

    figure: float
    name: str
    source: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.figure:10.0f}  {self.name:>12}  {self.source} ({self.outcome})"


@dataclass(slots=True)
class Tally:
    """``outcomes`` by format and code; ``violations`` break a rule.

    ``killed`` and ``starved`` (out-of-memory, though admitted) are contained, but worth a look.
    """

    inputs: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: list[Trace] = field(default_factory=list)
    largest: list[Trace] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    starved: list[str] = field(default_factory=list)
    longest_stall_s: float = 0
    parent_bytes: list[int] = field(default_factory=list)

    def add(self, source_format: str, outcome: str, took: Trace, peak: Trace | None) -> None:
        """Count one input."""
        self.inputs += 1
        self.outcomes[source_format, outcome] += 1
        self.slowest = sorted([*self.slowest, took])[-_LISTED:]
        if peak is not None:
            self.largest = sorted([*self.largest, peak])[-_LISTED:]

    def merge(self, other: Tally) -> None:
        """Count what another part of the run has found."""
        self.inputs += other.inputs
        self.outcomes += other.outcomes
        self.slowest = sorted([*self.slowest, *other.slowest])[-_LISTED:]
        self.largest = sorted([*self.largest, *other.largest])[-_LISTED:]
        self.violations += other.violations
        self.killed += other.killed
        self.starved += other.starved
        self.longest_stall_s = max(self.longest_stall_s, other.longest_stall_s)
        self.parent_bytes += other.parent_bytes

    def as_json(self, seconds: float) -> dict[str, Any]:
        """Return everything as plain values; ``seconds`` is how long the run took."""
        outcomes: dict[str, dict[str, int]] = {}
        for (source_format, outcome), times in sorted(self.outcomes.items()):
            outcomes.setdefault(source_format, {})[outcome] = times
        return {
            "inputs": self.inputs,
            "seconds": round(seconds, 1),
            "outcomes": outcomes,
            "slowest_ms": [[round(each.figure), each.name, each.source, each.outcome] for each in self.slowest[::-1]],
            "largest_mib": [[each.figure, each.name, each.source, each.outcome] for each in self.largest[::-1]],
            "longest_stall_ms": round(1000 * self.longest_stall_s),
            "parent_mib": [min(self.parent_bytes) // MIB, max(self.parent_bytes) // MIB] if self.parent_bytes else None,
            "killed": self.killed,
            "starved": self.starved,
            "violations": self.violations,
        }
