"""The context of a trace, as it comes from anybody and goes along with messages."""

from __future__ import annotations

import pytest

from support.doubles.tracing import SENDER
from thumbq.core import tracecontext
from thumbq.core.tracecontext import TraceContext

PARENT = SENDER.parent


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        PARENT.upper(),
        PARENT[:-3],
        f"{PARENT}-more",
        f"ff{PARENT[2:]}",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        f" {PARENT}",
        f"{PARENT}\n",
        f"cc{PARENT[2:]}-{'x' * 1000}",
        f"{PARENT},{PARENT}",  # the header came twice
    ],
)
def test_what_is_no_traceparent_is_no_context(given: str | None) -> None:
    assert tracecontext.parse(given, "vendor=1") is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    found = tracecontext.parse(f"cc{PARENT[2:]}-what-the-future-brings")
    assert found is not None
    assert found.ids == SENDER.ids


@pytest.mark.parametrize(
    "state",
    [
        *(None, "", " ,\t,", "vendor", "vendor=", "=1", "Vendor=1", "a=b=c", "line=1\n", "猫=1", "a=猫"),
        *("a=1,a=2", "0vendor=1", "a=1,evil message", f"{'k' * 257}=1", f"k={'v' * 257}", "," * 10_000),
        ",".join(f"k{number}=1" for number in range(33)),
    ],
)
def test_a_state_that_cannot_be_passed_on_is_left_out(state: str | None) -> None:
    assert tracecontext.parse(PARENT, state) == TraceContext(PARENT)


@pytest.mark.parametrize(
    ("state", "passed_on"),
    [
        ("a=1 \t, \t b=2,,", "a=1,b=2"),  # two headers, or blanks between members
        ("0tenant@vendor=v a!l~,r-o*j/o=:;", "0tenant@vendor=v a!l~,r-o*j/o=:;"),
        (",".join(f"k{number}=1" for number in range(32)),) * 2,
        (f"a=1,long={'x' * 250},other={'y' * 250},b=2,c=3", "a=1,b=2,c=3"),
        (",".join(f"k{number}={'x' * 97}" for number in range(7)), ",".join(f"k{n}={'x' * 97}" for n in range(5))),
    ],
)
def test_a_state_is_passed_on_as_the_standard_has_it(state: str, passed_on: str) -> None:
    assert tracecontext.parse(PARENT, state) == TraceContext(PARENT, passed_on)


def test_what_goes_along_with_a_message_is_read_from_it_again() -> None:
    assert tracecontext.of_message(SENDER.attributes) == SENDER
    assert tracecontext.of_message(SENDER.attributes, TraceContext(PARENT.replace("8", "9")).xray) == SENDER


def test_the_header_of_x_ray_stands_in_for_attributes_that_there_are_not() -> None:
    assert SENDER.xray == "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1"
    assert tracecontext.of_message({}, SENDER.xray) == TraceContext(PARENT)
    assert tracecontext.of_message({}, SENDER.xray.replace("Sampled=1", "Sampled=0;Lineage=a:1")) == TraceContext(
        f"{PARENT[:-1]}0"
    )


@pytest.mark.parametrize(
    "header", ["", "Root", "Root=1-0af76519-16cd43dd8448eb211c80319c", "Root=2-a-b;Parent=c", ";;="]
)
def test_a_header_of_x_ray_without_both_ids_is_no_context(header: str) -> None:
    assert tracecontext.of_message({}, header) is None


def test_a_message_is_never_too_large_for_its_trace() -> None:
    size = SENDER.size
    assert size == len("traceparent" + "tracestate" + 2 * "String" + PARENT + "vendor=1,other=a:b")
    assert tracecontext.beside(SENDER, "x" * 100, max_bytes=100 + size) == SENDER
    assert tracecontext.beside(SENDER, "x" * 101, max_bytes=100 + size) is None
    assert tracecontext.beside(SENDER, "猫" * 100, max_bytes=300 + size) == SENDER
    assert tracecontext.beside(SENDER, "猫" * 100, max_bytes=299 + size) is None
    assert tracecontext.beside(None, "x", max_bytes=1000) is None
