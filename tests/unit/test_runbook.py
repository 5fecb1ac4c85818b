"""The runbook of docs/operations.md against the code: each event that is a warning or worse has its row."""

from __future__ import annotations

import re

import pytest

from support import documents
from support.documents import OPERATIONS, ROOT
from support.logevents import Unreadable, loud_events, loud_events_of
from thumbq.jobs.reporting import LASTING_S
from thumbq.web.tally import EVERY_S

_ROW = re.compile(r"^\| `([a-z_]+\.[a-z_]+)` \| (.+) \| (.+) \|$", re.MULTILINE)


def rows() -> dict[str, tuple[str, str]]:
    """Return what the runbook says of each event: what it means, and what to do."""
    found = _ROW.findall(documents.section(OPERATIONS, "Events of the log"))
    assert len({event for event, _, _ in found}) == len(found), "an event has two rows"
    return {event: (meaning, todo) for event, meaning, todo in found}


def test_each_event_that_is_a_warning_or_worse_has_its_row_and_no_other_has_one() -> None:
    assert rows().keys() == loud_events((ROOT / "src" / "thumbq").rglob("*.py"))


def test_a_row_says_what_it_means_and_what_to_do_and_how() -> None:
    for event, (meaning, todo) in rows().items():
        assert meaning.endswith("."), event
        assert todo.endswith("."), event
        assert re.search(r"`[^`]+`|\]\([^)]+\)|Nothing|Report it", todo), f"{event}: no command, no setting, no link"


def test_the_table_is_in_order_of_names() -> None:
    events = [event for event, _, _ in _ROW.findall(documents.section(OPERATIONS, "Events of the log"))]
    assert events == sorted(events)


def test_lasting_outages_and_tallies_are_told_after_the_documented_minute() -> None:
    assert (LASTING_S, EVERY_S) == (60, 60)


CODE = """
def plain(): log.warning("a.plain"); log.info("a.quiet"); log.error("a.error", x=1)
def bug(): structlog.get_logger().critical("a.crash")
def chosen(bad):
    write = log.error if bad else log.info
    write("a.chosen")
    read = log.info if bad else log.debug
    read("a.never")
def _level(codes): return log.error if codes else log.warning
def given(codes): _level(codes)("a.given")
def kept(codes):
    write = _level(codes) if codes else log.info
    write("a.kept")
def tell(event, error): log.warning(event, error=error)
def told(): tell("a.told", 1)
class Count:
    def __init__(self, event): self._event = event
    def add(self): log.warning(self._event)
class User:
    def __init__(self): self.count = module.Count("a.counted")
class Own:
    def tell(self): self._journal.warning("a.own"); self._log.bind(x=1).error("a.bound")
def numbered(level): log.log(level, "a.numbered"); getattr(log, level)("a.named")
def later(): return partial(log.error, "a.later")
def of_python(): logging.getLogger("x").warning("a.python"); future.exception()
log.warning("a.outside")
"""


def test_the_reader_finds_levels_that_are_decided_at_run_time() -> None:
    names = {"plain", "error", "crash", "chosen", "given", "kept", "told", "counted"}
    names |= {"own", "bound", "numbered", "named", "later", "python", "outside"}
    assert loud_events_of([CODE]) == {f"a.{name}" for name in names}


@pytest.mark.parametrize(
    "line",
    [
        "log.error(f'a.{what}')",
        "log.error(names[0])",
        "log.warning()",
        "log.log(level, names[0])",
        "getattr(log, level)(names[0])",
        "call(log.error, what)",
        "call(write=log.error)",
        "partial(log.error, names[0])",
    ],
)
def test_a_name_that_cannot_be_read_fails(line: str) -> None:
    with pytest.raises(Unreadable):
        loud_events_of([f"def f(what): {line}"])
