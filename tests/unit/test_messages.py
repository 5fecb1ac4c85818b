"""Message bodies: every form gives back the key it was made of, and nothing hostile gets through."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.aws.event_bodies import (
    FORMS,
    JSON_FORMS,
    cloudtrail,
    hostile,
    nested,
    no_jobs,
    record,
    s3_event,
    short_record,
    sns,
)
from thumbq.cli import deadletters
from thumbq.core import callback, message, objectmetadata, retry
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.retry import Bury, Delete, Release
from thumbq.deadletters.parsing import parse
from thumbq.errors import MalformedMessage, SendRefused
from thumbq.ports import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.core.job import Rerender

quick = settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
HOSTILE = hostile()
STRANGE = " +%&=?#/\\.\"'\t\n\r\x00\x7f\u00a0é日😀\u202e{}[]"
keys = st.one_of(
    st.text(st.one_of(st.sampled_from(STRANGE), st.characters(exclude_categories=["Cs"])), min_size=1, max_size=40),
    st.sampled_from(
        ["x" * 1024, "é" * 512, "😀" * 256, " cat.png ", "a%2Bb+c d.png", "%", "%zz", "/", "//", "a/", "+"]
    ),
)


def in_sqs(key: str) -> bool:
    """Whether a bare key can be a message, and is not read as JSON."""
    body = key.removeprefix("\ufeff").strip(" \t\n\r")
    try:
        message.check_sendable(key)
    except SendRefused:
        return False
    return bool(body) and not body.startswith(("{", "[", '"'))


@pytest.mark.parametrize("form", JSON_FORMS.values(), ids=JSON_FORMS)
@given(key=keys)
@quick
def test_every_form_gives_back_the_key_that_it_was_made_of(form: Callable[[str, str], str], key: str) -> None:
    parsed = message.parse(form("a-bucket", key), default_bucket="other")
    assert parsed.jobs == (JobRequest(ObjectRef("a-bucket", key)),)


@given(key=keys.filter(in_sqs), depth=st.integers(0, message.MAX_ENVELOPES))
@quick
def test_a_bare_key_stays_exactly_as_it_was_sent(key: str, depth: int) -> None:
    parsed = message.parse(nested(key, depth % 4), default_bucket="here")
    assert parsed.jobs == (JobRequest(ObjectRef("here", key)),)


@given(key=keys, depth=st.integers(0, 3), plain=st.booleans())
@quick
def test_a_json_string_is_the_key_in_it(key: str, depth: int, *, plain: bool) -> None:
    parsed = message.parse(nested(f" {json.dumps(key, ensure_ascii=not plain)}\n", depth), default_bucket="here")
    assert parsed.jobs == (JobRequest(ObjectRef("here", key)),)


@pytest.mark.parametrize("key", ['"', '"a', 'a"', '"a"b"', '"\\x"', '"a" + "b"', "\ufeffa.png"])
def test_a_bare_key_with_quotes_or_behind_a_mark_that_is_no_json_stays_as_it_is(key: str) -> None:
    assert message.parse(key, default_bucket="b").jobs == (JobRequest(ObjectRef("b", key)),)


@pytest.mark.parametrize("name", ["PutObject", "CopyObject", "CompleteMultipartUpload", "PostObject"])
def test_every_request_that_stores_an_object_is_a_job_by_cloudtrail(name: str) -> None:
    body = cloudtrail("b", "photos/my cat (+1).png", name=name)
    assert message.parse(body, default_bucket="other").jobs == (JobRequest(ObjectRef("b", "photos/my cat (+1).png")),)


@given(sources=st.lists(st.tuples(st.sampled_from(["a", "b"]), keys), min_size=1, max_size=20))
@quick
def test_records_become_distinct_jobs_in_their_order(sources: list[tuple[str, str]]) -> None:
    body = s3_event(*(record(bucket, key) for bucket, key in sources))
    expected = tuple(JobRequest(ObjectRef(bucket, key)) for bucket, key in dict.fromkeys(sources))
    assert message.parse(sns(body), default_bucket="other").jobs == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
@settings(quick, max_examples=150)
def test_a_wrong_type_at_any_place_is_a_job_or_malformed_and_nothing_else(data: st.DataObject) -> None:
    document: Any = json.loads(data.draw(st.sampled_from([*JSON_FORMS.values()]))("b", "k").removeprefix("\ufeff"))
    place = document
    while True:
        name = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not place[name] or not isinstance(place[name], dict | list) or data.draw(st.booleans()):
            break
        place = place[name]
    place[name] = data.draw(json_values)
    try:
        parsed = message.parse(json.dumps(document), default_bucket="b")
    except MalformedMessage:
        return
    assert bool(parsed.jobs) != bool(parsed.no_job)


@pytest.mark.parametrize("body", no_jobs("b").values(), ids=no_jobs("b"))
def test_what_aws_sends_without_wanting_a_job_is_none_and_says_why(body: str) -> None:
    parsed = message.parse(body, default_bucket="b")
    assert parsed.jobs == ()
    assert parsed.no_job


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_body_is_malformed_with_a_short_reason(body: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        message.parse(body, default_bucket="b")
    assert 10 < len(refused.value.text) < 300
    assert refused.value.text.isprintable()


def test_as_many_records_as_are_allowed_are_as_many_jobs() -> None:
    records = [short_record(number) for number in range(message.MAX_JOBS)]
    assert len(message.parse(s3_event(*records), default_bucket="b").jobs) == message.MAX_JOBS
    with pytest.raises(MalformedMessage, match="1,001 originals; at most 1,000"):
        message.parse(s3_event(*records, short_record(1000)), default_bucket="b")


def test_events_that_create_nothing_leave_those_beside_them_alone() -> None:
    body = s3_event(
        record("b", "gone.png", event="ObjectRemoved:Delete"), record("b", "new.png"), record("b", "d/", size=0)
    )
    assert message.parse(body, default_bucket="b").jobs == (JobRequest(ObjectRef("b", "new.png")),)


def test_an_object_whose_key_ends_with_a_slash_is_a_job_unless_it_is_empty() -> None:
    body = s3_event(record("b", "odd/", size=5))
    assert message.parse(body, default_bucket="b").jobs == (JobRequest(ObjectRef("b", "odd/")),)


def test_event_names_as_minio_writes_them_count() -> None:
    body = s3_event(record("b", "a.png", event="s3:ObjectCreated:CompleteMultipartUpload"))
    assert len(message.parse(body, default_bucket="b").jobs) == 1


def test_presets_and_a_callback_are_carried_along() -> None:
    request = JobRequest(ObjectRef("b", "k"), ("thumbnail", "x"), "https://example.com:8443/hook?a=%C3%A9&b=[1]")
    assert message.parse(message.encode(request), default_bucket="other").jobs == (request,)


@pytest.mark.parametrize("rerender", [None, "changed", "all"])
def test_what_to_make_again_is_carried_along(rerender: Rerender | None) -> None:
    job = JobRequest(ObjectRef("b", "k"), ("small",), None, rerender=rerender)
    assert message.parse(message.encode(job), default_bucket="b").jobs == (job,)


@pytest.mark.parametrize("rerender", ["", "everything", 1, True, ["all"], {}])
def test_another_word_for_what_to_make_again_is_refused(rerender: object) -> None:
    with pytest.raises(MalformedMessage, match="one of changed, all"):
        message.parse(json.dumps({"key": "k", "rerender": rerender}), default_bucket="b")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "//example.com",
        "http://",
        "http://:80/",
        "http://[::1/",
        "http://example.com:99999/",
        "ftp://example.com/",
        "javascript:alert(1)",
        "https://example.com/é",
        "https://example.com/a b",
        "https://example.com\\@evil.example/",
        "https://user@example.com/",
        "https://example.com/\x00",
    ],
)
def test_what_is_no_address_to_call_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="callback URL"):
        callback.checked(url)


@given(
    presets=st.none()
    | st.lists(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True), min_size=1, unique=True, max_size=9),
    url=st.none() | st.just("https://example.com/hook?x=1,2"),
)
@quick
def test_options_survive_an_originals_metadata(presets: list[str] | None, url: str | None) -> None:
    metadata = objectmetadata.encode(presets=presets, callback_url=url)
    assert objectmetadata.presets(metadata) == (None if presets is None else tuple(presets))
    assert objectmetadata.callback_url(metadata) == url


def test_options_that_s3_would_not_take_are_refused() -> None:
    with pytest.raises(ValueError, match="S3 has 2,048"):
        objectmetadata.encode(presets=None, callback_url="https://example.com/" + "x" * 2028)


def test_options_written_by_hand_may_have_spaces_and_repeat_themselves() -> None:
    assert objectmetadata.presets({objectmetadata.PRESETS: " a, b ,,a"}) == ("a", "b")
    assert objectmetadata.presets({objectmetadata.PRESETS: " , "}) is None


def test_a_message_ends_as_its_jobs_do() -> None:
    refused, gone = Bury("corrupt", "it is broken"), Bury("source-missing", "it is not there")
    assert retry.after_attempts([]) == Delete()
    assert retry.after_attempts([("a", Delete()), ("b", Delete())]) == Delete()
    assert retry.after_attempts([("a", refused)]) == refused
    assert retry.after_attempts([("a", refused), ("b", Release(3)), ("c", Release(1))]) == Release(3)
    both = retry.after_attempts([("a", Delete()), ("b", refused), ("c", gone)])
    assert both == Bury("corrupt", "2 of 3 jobs failed: 'b', 'c'; the first one: it is broken")


def test_the_reason_of_many_failures_stays_short() -> None:
    ending = retry.after_attempts([(f"{number}\n" * 500, Bury("corrupt", "it is broken")) for number in range(900)])
    assert isinstance(ending, Bury)
    assert "900 of 900 jobs failed" in ending.text
    assert "897 more; the first one: it is broken" in ending.text
    assert len(ending.text) < 500


def test_forms_are_those_that_the_end_to_end_tests_send() -> None:
    for name, form in FORMS.items():
        assert len(message.parse(form("b", "k"), default_bucket="b").jobs) == 1, name


def test_a_dead_letter_of_several_jobs_is_listed_with_all_of_them() -> None:
    body = s3_event(*(record("b", key) for key in ("a.png", "b c.png", "d.png")))
    parsed = parse(DeadLetter("id", "receipt", body, None, 0.0, 1), "b")
    assert deadletters.document(parsed)["key"] == "a.png"
    assert deadletters.document(parsed)["further_keys"] == ["b c.png", "d.png"]
    assert "b/a.png and 2 more" in deadletters.row(parsed)
