"""Callbacks without input or output: who may be called, when again, what is posted."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from thumbq.core import callbackmessage, callbackretry
from thumbq.core.callbackrules import CallbackRules, host_pattern
from thumbq.core.catalog import Catalog
from thumbq.core.links import NO_BASE
from thumbq.core.manifest import ErrorRecord, FailedRendition, Manifest, RenditionRecord, SourceRecord
from thumbq.core.retry import Bury, Delete, Release
from thumbq.errors import MalformedMessage
from thumbq.jobdocuments import outcome_document
from thumbq.webhooks.addresses import refusal
from thumbq.webhooks.body import MAX_BODY_BYTES, body_of

HOURS = 3600


def rules(*hosts: str, ports: tuple[int, ...] = (443,), allow_http: bool = False) -> CallbackRules:
    return CallbackRules(hosts, ports, allow_http, partial(refusal, networks=()))


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/a?b=c",
        "https://HOOKS.example.com.:443/",
        "https://a.example.org/",
        "https://a.b.example.org/",
        "https://[2001:4860:4860:0::8888]/",
    ],
)
def test_a_host_that_is_named_may_be_called(url: str) -> None:
    assert rules("hooks.example.com", "*.example.org", "2001:4860:4860::8888").refusal(url) is None


@pytest.mark.parametrize(
    ("url", "setting"),
    [
        ("http://hooks.example.com/", "allow_http"),
        ("https://hooks.example.com:8443/", "ports"),
        ("https://example.com/", "hosts"),
        ("https://example.org/", "hosts"),
        ("https://hooks.example.com.evil.org/", "hosts"),
        ("https://evilexample.org/", "hosts"),
        ("https://10.0.0.7/", "networks"),
        ("https://[fd00::7]/", "networks"),
        ("https://167772167/", "hosts"),
        ("https://.example.org/", "hosts"),
        ("https://a..example.org/", "hosts"),
        ("https://evil.com%2f.example.org/", "hosts"),
        ("https://evil.com%23.example.org/", "hosts"),
    ],
)
def test_a_refusal_names_the_setting(url: str, setting: str) -> None:
    reason = rules("hooks.example.com", "*.example.org", "10.0.0.7", "fd00::7").refusal(url)
    assert reason is not None
    assert setting in reason


def test_http_is_called_at_its_own_port() -> None:
    both = rules("a.example", ports=(80, 443), allow_http=True)
    assert both.refusal("http://a.example/") is None
    assert both.refusal("https://a.example/") is None
    assert "port 80" in (rules("a.example", allow_http=True).refusal("http://a.example/") or "")


@pytest.mark.parametrize(
    "text", ["", "*", "*.", "https://a.example", "a.example:443", "a.example/x", "a b", "*.*.a", "a..b"]
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        host_pattern(text)


def test_hosts_are_written_in_any_way() -> None:
    assert [host_pattern(text) for text in ("A.Example.", "*.A.example", "[FD00::1]", "10.0.0.1")] == [
        *("a.example", "*.a.example", "fd00::1", "10.0.0.1")
    ]


def test_calls_come_at_first_soon_and_then_twice_a_day() -> None:
    delays = [callbackretry.delay_s(calls, 0.0) for calls in range(1, callbackretry.CALLS)]
    assert delays == [5, 30, 120, 600, 1800, HOURS, 2 * HOURS, 4 * HOURS, 8 * HOURS, *[12 * HOURS] * 4]
    for calls in range(1, 40):
        low, high = (callbackretry.delay_s(calls, jitter) for jitter in (0.0, 0.999))
        assert low != high
        assert max(low, high) <= 12 * HOURS


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success_is_the_end(status: int) -> None:
    assert callbackretry.after_answer(status, 60, calls=14, jitter=0) == Delete()


def test_gone_is_the_end_too() -> None:
    gone = callbackretry.after_answer(410, 60, calls=1, jitter=0)
    assert isinstance(gone, Bury)
    assert gone.code == "callback-gone"


def test_all_else_comes_again_until_the_last_call() -> None:
    for calls, status in itertools.product(range(1, 14), (199, 300, 308, 404, 429, 500)):
        expected = Release(callbackretry.delay_s(calls, 0.5))
        assert callbackretry.after_answer(status, None, calls=calls, jitter=0.5) == expected
        assert callbackretry.after_no_answer("no", calls=calls, jitter=0.5) == expected
    assert isinstance(callbackretry.after_answer(500, 60, calls=14, jitter=0), Bury)
    assert isinstance(callbackretry.after_no_answer("no", calls=14, jitter=0), Bury)


def manifest(**members: Any) -> Manifest:
    source = SourceRecord(bucket="photos", key=f"uploads/{'0' * 26}", content_type="image/jpeg", bytes=7)
    whole: dict[str, Any] = {
        "status": "done",
        "source": source,
        "message_id": "m-1",
        "finished_at": datetime(2026, 11, 29, tzinfo=UTC),
        **members,
    }
    return Manifest(**whole)


def test_the_id_is_that_of_the_outcome() -> None:
    other_source = SourceRecord(bucket="photos", key="pngfiles/a.png")
    same = manifest(finished_at=datetime(2026, 11, 30, tzinfo=UTC), receive_count=3)
    others = [manifest(status="failed"), manifest(message_id="m-2"), manifest(source=other_source)]
    ids = [callbackmessage.callback_id(each) for each in (manifest(), same, *others)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert all("." not in each and len(each) <= 64 for each in ids)


def test_a_callback_is_read_as_it_was_written() -> None:
    body = {"type": "job.done", "data": {"name": "Grüße\udc80\x00"}}
    callback = callbackmessage.make_callback(manifest(), "https://a.example/", body)
    assert callback.encode().isascii()
    assert callbackmessage.decode(callback.encode()) == callback


@pytest.mark.parametrize("body", ["", "a.png", "[]", '{"key": "a.png"}', '{"version": 2}'])
def test_other_messages_are_no_callbacks(body: str) -> None:
    with pytest.raises(MalformedMessage):
        callbackmessage.decode(body)


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        ("jobs", "jobs-webhooks"),
        ("jobs.fifo", "jobs-webhooks"),
        ("https://sqs.example/1/jobs.fifo", "https://sqs.example/1/jobs-webhooks"),
        ("arn:aws:sqs:eu-west-1:1:jobs", "arn:aws:sqs:eu-west-1:1:jobs-webhooks"),
        ("", "-webhooks"),
    ],
)
def test_the_queue_stands_beside_the_jobs(queue: str, expected: str) -> None:
    assert callbackmessage.queue_name(queue) == expected


def rendition(number: int) -> RenditionRecord:
    return RenditionRecord(
        bucket="photos",
        key=f"preset{number}/{'0' * 26}.jpg",
        width=1,
        height=1,
        bytes=1,
        content_type="image/jpeg",
        sha256="0" * 64,
        fingerprint="",
    )


@pytest.mark.parametrize(
    ("source", "presets", "left"),
    [("uploads", 60, "all"), ("uploads", 120, "url"), ("uploads", 1000, ""), ("png", 60, "all"), ("png", 1000, "")],
)
async def test_a_body_is_below_20_kib(source: str, presets: int, left: str) -> None:
    record = SourceRecord(bucket="photos", key=f"{source}/{'0' * 26}", content_type="image/jpeg")
    ended = manifest(source=record, renditions={f"preset{number}": rendition(number) for number in range(presets)})
    outcome = await outcome_document(ended, None, Catalog({}, ()), NO_BASE)  # type: ignore[arg-type]  # it asks nothing
    body = body_of(outcome)
    assert len(callbackmessage.content_of(body)) <= MAX_BODY_BYTES
    renditions = body["data"]["renditions"]
    assert len(renditions) == (presets if left else 0)
    assert not left or ("sha256" in renditions["preset0"]) is (left == "all")


async def test_a_body_is_below_20_kib_whatever_failed() -> None:
    failed = {
        f"preset{number}": FailedRendition(code="too-large", message="m" * 100, fingerprint="") for number in range(500)
    }
    for ended in (
        manifest(failed=failed),
        manifest(status="failed", error=ErrorRecord(code="c", message="m" * 30_000)),
    ):
        outcome = await outcome_document(ended, None, Catalog({}, ()), NO_BASE)  # type: ignore[arg-type]  # the same
        assert len(callbackmessage.content_of(body_of(outcome))) <= MAX_BODY_BYTES
