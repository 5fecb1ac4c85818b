"""Events as they are published, and the ARNs that they may go to."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from thumbq.core import keys
from thumbq.core.catalog import Catalog
from thumbq.core.jobevent import MAX_BODY_BYTES, JobEvent, make_event
from thumbq.core.links import Links
from thumbq.core.manifest import ErrorRecord, FailedRendition, Manifest, RenditionRecord, SourceRecord
from thumbq.core.targetarn import parse, places
from thumbq.errors import SetupError
from thumbq.jobdocuments import outcome_document
from thumbq.jobs.eventpublisher import events_problem
from thumbq.settings import Settings, load

if TYPE_CHECKING:
    from pathlib import Path

TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:pictures"
UPLOAD = "uploads/" + "0" * 26


def manifest(key: str = UPLOAD, *, presets: int = 2, **members: Any) -> Manifest:
    renditions = {
        f"p{number}": RenditionRecord(
            bucket="photos",
            key=f"p{number}/x.jpg",
            width=1,
            height=1,
            bytes=9,
            content_type="image/jpeg",
            sha256="0" * 64,
            fingerprint="f",
        )
        for number in range(presets)
    }
    source = SourceRecord(bucket="photos", key=key, content_type="image/jpeg", filename="café.jpg")
    finished = datetime(2026, 11, 29, 12, tzinfo=UTC)
    whole: dict[str, Any] = {"status": "done", "source": source, "renditions": renditions, "finished_at": finished}
    return Manifest(**(whole | {"message_id": "m"} | members))


async def event(of: Manifest) -> JobEvent:
    store: Any = None  # it is asked only where a manifest does not say what the original is
    return make_event(await outcome_document(of, store, Catalog({}, ()), Links("https://t.example")), of)


async def test_its_body_is_the_job_in_ascii_and_its_attributes_are_what_subscriptions_filter_on() -> None:
    failed = {"p9": FailedRendition(code="decode-timeout", message="x", fingerprint="f")}
    made = await event(manifest(failed=failed))
    job = json.loads(made.body)
    assert made.body.isascii()
    assert (job["id"], job["status"], job["url"]) == ("0" * 26, "done", f"https://t.example/jobs/{'0' * 26}")
    assert job["original"]["filename"] == "café.jpg"
    assert made.type == "job.done"
    assert {name: (each.data_type, each.value) for name, each in made.attributes.items()} == {
        "status": ("String", "done"),
        "presets": ("String.Array", '["p0","p1","p9"]'),
        "prefix": ("String", "uploads/"),
    }


async def test_a_job_that_failed_early_has_no_presets() -> None:
    error = ErrorRecord(code="corrupt", message="no picture")
    made = await event(manifest("pngfiles/a/b.png", presets=0, status="failed", error=error))
    assert made.type == "job.failed"
    assert {name: each.value for name, each in made.attributes.items()} == {
        "status": "failed",
        "prefix": "pngfiles/a/",
    }
    assert json.loads(made.body)["source"] == {"bucket": "photos", "key": "pngfiles/a/b.png"}


async def test_its_prefix_is_the_same_where_keys_are_spread() -> None:
    key = keys.upload_key(keys.new_id(1_800_000_000_000, 5, 8))
    assert key.startswith("uploads/-")
    assert (await event(manifest(key))).prefix == "uploads/"


@pytest.mark.parametrize("key", ["at the top.jpg", "folder\x00/x.jpg", "folder￿/x.jpg"])
async def test_a_prefix_that_no_attribute_can_hold_is_absent(key: str) -> None:
    assert "prefix" not in (await event(manifest(key))).attributes


@pytest.mark.parametrize(("key", "grouped"), [(UPLOAD, True), ("a b.jpg", False), ("é.jpg", False), ("x" * 129, False)])
async def test_its_group_is_the_key_or_a_hash_of_it(key: str, grouped: bool) -> None:  # noqa: FBT001
    group = (await event(manifest(key))).group
    assert (group == key) is grouped
    assert len(group) <= 128
    assert group.isascii()
    assert group.isprintable()
    assert " " not in group


async def test_its_id_is_of_the_outcome() -> None:
    one = (await event(manifest())).id
    assert one == (await event(manifest(receive_count=7))).id
    others = [manifest("uploads/x"), manifest(message_id="n"), manifest(status="failed")]
    assert len({one, *[(await event(other)).id for other in others]}) == 4


@pytest.mark.parametrize("presets", [1000, 4000])
async def test_one_that_would_be_too_large_leaves_out_what_the_job_has(presets: int) -> None:
    made = await event(manifest(presets=presets))
    assert len(made.body) <= MAX_BODY_BYTES
    assert made.size <= 1 << 18
    assert json.loads(made.body)["status"] == "done"


GOOD = [
    TOPIC,
    TOPIC + ".fifo",
    "arn:aws-cn:sns:cn-north-1:123456789012:t",
    "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:ended.fifo",
    "arn:aws:sqs:us-east-1:000000000000:q_1-a",
    "arn:aws:events:eu-central-1:123456789012:event-bus/default",
    "arn:aws-eusc:events:eusc-de-east-1:123456789012:event-bus/my.bus",
]
BAD = [
    "pictures",
    "https://sqs.us-east-1.amazonaws.com/123456789012/q",
    TOPIC + ":7c2b1d70-5b0c-4b0f-9e58-000000000000",
    "arn:aws:sns:ap-northeast-1:12345:pictures",
    "arn:aws:sns::123456789012:pictures",
    "arn:aws:sns:ap-northeast-1:123456789012:pic.tures",
    "arn:aws:sns:ap-northeast-1:123456789012:" + "x" * 257,
    "arn:aws:sqs:us-east-1:000000000000:" + "q" * 76 + ".fifo",
    "arn:aws:events:eu-central-1:123456789012:rule/default",
    "arn:aws:events:eu-central-1:123456789012:event-bus/aws.partner/x",
    "arn:aws:lambda:eu-central-1:123456789012:function:f",
    "arn:gcp:sns:ap-northeast-1:123456789012:pictures",
]


def test_all_partitions_are_known_and_each_place_once() -> None:
    assert [str(parse(text)) for text in GOOD] == GOOD
    assert [arn.fifo for text in GOOD if (arn := parse(text))] == [False, True, False, True, False, False, False]
    assert len(places([TOPIC, TOPIC + ".fifo", *GOOD[2:4]])) == 3


def test_the_variable_has_commas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THUMBQ_EVENTS", ", ".join(GOOD))
    assert load(bucket="b", queue="q").events == tuple(GOOD)


def test_all_that_are_none_are_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thumbq.toml").write_text(f"events = {json.dumps([*BAD, TOPIC, TOPIC])}")
    with pytest.raises(SetupError) as refusal:
        load(bucket="b", queue="q")
    [problem] = refusal.value.problems
    assert [text for text in BAD if repr(text) not in problem.what.partition("no ARN of")[2]] == []
    assert f"{TOPIC!r} stands there 2 times" in problem.what


def test_on_a_local_directory_the_start_says_that_there_are_no_events(tmp_path: Path) -> None:
    with_targets = Settings(local=tmp_path, events=(TOPIC,))
    problem = events_problem(with_targets)
    assert problem is not None
    assert "not available" in problem.what
    others = [Settings(local=tmp_path), Settings(bucket="b", queue="q", events=(TOPIC,))]
    assert [events_problem(settings) for settings in others] == [None, None]
