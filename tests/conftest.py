"""The long form of the chaos tests, and the figures that tests give, told at the end."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

# More than 200 Pythons start in a run. Where the environment forbids to keep bytecode, as many sandboxes and images do,
# each of them would compile all that it imports, which is most of what a short one does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--chaos",
        choices=["short", "full"],
        default="short",
        help="how much of the tests marked chaos: what CI runs, or the long form (give -n0 with it)",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests gave to ``record_property``."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    telling = [report for report in reports if report.user_properties]
    if telling:
        terminalreporter.section("figures")
    for report in telling:
        terminalreporter.write_line(report.nodeid)
        for name, value in report.user_properties:
            terminalreporter.write_line(f"    {name}: {value}")
