"""Settings that are good one by one and do not go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thumbq.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem between settings; ``fields`` are those that it follows from."""

    fields: frozenset[str]
    problem: Problem


class Disagreement(ValueError):
    """Settings that are good one by one and do not go together."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.problem.what for fault in faults))
        self.faults = tuple(faults)


def fault(*fields: str, what: str, fix: str) -> Fault:
    """Say what is wrong between these fields, and what to do about it."""
    return Fault(frozenset(fields), Problem(what, fix))
