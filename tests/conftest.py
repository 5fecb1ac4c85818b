"""The emulators, the long form of the chaos tests, and the figures that tests give, told at the end."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from support.servers.emulators import EmulatorMissing, ministack_server, moto_server

if TYPE_CHECKING:
    from collections.abc import Iterator

# More than 200 Pythons start in a run. Where the environment forbids to keep bytecode, as many sandboxes and images do,
# each of them would compile all that it imports, which is most of what a short one does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A thousand tests open a database on a directory of their own. On a disk half of what they cost is the kernel's work
# for their syncs and removals, and no test cuts the power. Docker's 64 MB are too few for all.
_MEMORY = Path("/dev/shm")
if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 4 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--chaos",
        choices=["short", "full"],
        default="short",
        help="how much of the tests that have a long form: what CI runs, or that (give -n0 with it)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests that mostly wait out of the last quarter: none of them is to be what all workers wait for.

    Otherwise the random order stays as it is.
    """
    places = {item: place for place, item in enumerate(items)}
    items.sort(key=lambda item: places[item] * (1 if {"e2e", "chaos"}.isdisjoint(item.path.parts) else 0.75))


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Undo what a command that ran in this process has set: from what level on, for one, it logs."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def form(request: pytest.FixtureRequest) -> str:
    """Return what was asked for, the "short" form or the "full" one."""
    return str(request.config.getoption("chaos"))


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory that all processes of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def models_read_once() -> Iterator[None]:
    """Share botocore's service models among this process's sessions: reading them is most of what a session costs."""
    import botocore.loaders  # noqa: PLC0415 - most tests get along without botocore

    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", lambda _search_path: loader)
        yield


@pytest.fixture(scope="session")
def moto_url(run_directory: Path, models_read_once: None) -> Iterator[str]:
    """Return moto's URL. Tests of other processes use it too: names have to be made up."""
    del models_read_once
    with moto_server(run_directory) as url:
        yield url


@pytest.fixture(scope="session")
def ministack_url(run_directory: Path, models_read_once: None) -> Iterator[str]:
    """Return ministack's URL. Tests of other processes use it too: names have to be made up."""
    del models_read_once
    try:
        with ministack_server(run_directory) as url:
            yield url
    except EmulatorMissing as missing:
        if os.environ.get("REQUIRE_MINISTACK") == "1":
            raise
        pytest.skip(str(missing))


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
