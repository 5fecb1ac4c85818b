"""The emulators, which tests run in which form, and the figures that tests give, printed at the end."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import hypothesis
import pytest
import structlog
from _pytest.assertion import rewrite
from _pytest.runner import runtestprotocol

from support.replicas.forker import Forker
from support.servers.emulators import EmulatorMissing, ministack_server, moto_server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from support.figures import AtMost

APART: Final = {
    "measured": "that hold figures to their bounds (give -n0 with it)",
    "long": "that take long and seldom tell anything new",
}
"""Markers of tests that run by themselves, in steps of .ci/run."""

MOSTLY_WAIT: Final = frozenset({"awslambda", "chaos", "e2e", "pool", "test_stack.py"})
"""Folders and files whose tests wait for processes and time-outs most of their time, and need no core meanwhile."""

TRIES: Final = 3

# More than 200 Pythons start in a run. Where the environment forbids to keep bytecode, as many sandboxes and images do,
# each of them would compile all that it imports, which is most of what a short one does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# hypothesis would fail an example that a busy machine makes wait for 0.2 s.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

# Where rich is installed structlog has it draw the variables of each frame of an exception.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

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
    for name, what in APART.items():
        parser.addoption(f"--{name}", action="store_true", help=f"run the tests {what}, and no others")


def pytest_configure(config: pytest.Config) -> None:
    """Rewrite this worker's share of the tests where that is still to be done, which takes longer than to import them.

    Each of the workers would rewrite them all: they begin in the same moment.
    """
    worker = getattr(config, "workerinput", None)
    if worker is None:
        return
    share = slice(int(worker["workerid"].removeprefix("gw")), None, worker["workercount"])
    for test in sorted(Path(__file__).parent.glob("*/test_*.py"))[share]:
        pyc = rewrite.get_cache_dir(test) / f"{test.stem}{rewrite.PYC_TAIL}"
        if not pyc.exists() and rewrite.try_makedirs(pyc.parent):
            state = config.stash[rewrite.assertstate_key]
            source_hash, code = rewrite._rewrite_test(test, config)
            rewrite._write_pyc(state, code, source_hash, pyc)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while everything that is made stays, nor ever among that."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what runs apart, or all else. Spread the tests that mostly wait over the first three quarters.

    Many of them at once would leave the cores idle, and none is to be what all workers wait for at the end. Otherwise
    the random order stays as it is.
    """
    wanted = {
        item for item in items if all(bool(item.get_closest_marker(name)) is config.getoption(name) for name in APART)
    }
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    kinds: tuple[list[pytest.Item], list[pytest.Item]] = ([], [])
    for item in items:
        if item in wanted:
            kinds[not MOSTLY_WAIT.isdisjoint(item.path.parts)].append(item)
    places = {
        item: part * place / len(kind)
        for kind, part in zip(kinds, (1, 0.75), strict=True)
        for place, item in enumerate(kind)
    }
    items[:] = sorted(places, key=places.__getitem__)


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Give a test of figures three tries: what else the machine does is no fault of the code."""
    if item.get_closest_marker("measured") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    for _ in range(TRIES - 1):
        if any(report.failed for report in reports):
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture
def at_most(record_property: Callable[[str, object], None]) -> AtMost:
    """Print a figure beside its bound at the end of the run, and hold it to that."""

    def check(name: str, figure: float, bound: float) -> None:
        record_property(name, f"{figure:.4g} (at most {bound:.4g})")
        assert figure <= bound, name

    return check


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
def _forker() -> Iterator[Forker]:
    with Forker() as forker:
        yield forker


@pytest.fixture
def forker(request: pytest.FixtureRequest) -> Forker | None:
    """Return what starts the processes of this test: None, which is a start as a shell's, in tests that run apart."""
    apart = any(request.node.get_closest_marker(name) for name in APART)
    return None if apart else request.getfixturevalue("_forker")


@pytest.fixture(scope="session")
def models_read_once() -> Iterator[None]:
    """Let this process's sessions of botocore share what is the same for all, which is most of what one costs."""
    from support.aws.remembering import remembering  # noqa: PLC0415 - most tests get along without botocore

    with remembering():
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
