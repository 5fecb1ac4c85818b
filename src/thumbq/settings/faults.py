"""Conflicts: settings that are valid one by one, but not together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thumbq.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Fault:
    """A conflict between settings; ``fields`` are those that it follows from."""

    fields: frozenset[str]
    problem: Problem


class SettingsConflict(ValueError):
    """Settings that are valid one by one, but not together; ``faults`` has every conflict."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.problem.what for fault in faults))
        self.faults = tuple(faults)


def fault(*fields: str, what: str, fix: str) -> Fault:
    """Return the fault that these fields are in conflict, and what to do about it."""
    return Fault(frozenset(fields), Problem(what, fix))
