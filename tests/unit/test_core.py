"""Keys, messages, presets, manifests and decisions."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from thumbq.core import deadletter, keys, message, retry
from thumbq.core.crashrecord import CrashRecord
from thumbq.core.deadletter import Note
from thumbq.core.formats import ImageFormat, sniff
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.preset import THUMBNAIL, Preset
from thumbq.errors import BackendUnavailable, MalformedMessage, RenderKilled, RenderRefused


def test_ids_sort_the_newest_first_and_have_their_form() -> None:
    older, newer = keys.new_id(1_790_000_000_000, 2**80 - 1), keys.new_id(1_790_000_000_001, 0)
    assert newer < older
    assert keys.is_id(older)
    assert len(older) == 26
    assert not keys.is_id(older.upper())
    assert keys.upload_id(keys.upload_key(newer)) == newer
    assert keys.upload_id("uploads/cat.png") is None


def test_an_id_alone_tells_its_keys_however_many_prefixes_there_were() -> None:
    noon = 1_790_000_000_000
    spread = [keys.new_id(noon - number, number, 4) for number in range(8)]
    assert sorted(spread) == spread, "the newest first, whatever their shards are"
    assert keys.upload_key(spread[0]) == f"uploads/-z/{spread[0]}"
    assert keys.manifest_key(keys.upload_key(spread[1])) == f"manifests/uploads/-y/{spread[1]}.json"
    assert THUMBNAIL.rendition_key(keys.inbox_key(spread[2]), "image/jpeg") == f"thumbnail/-x/{spread[2]}.jpg"
    assert keys.presigned_key(spread[3]) == f"presigned/-w/{spread[3]}.json"
    assert keys.upload_key(spread[4]).startswith("uploads/-z/"), "four prefixes in turn"
    for each in (*spread, keys.new_id(noon, 7), keys.new_id(noon, 7, 32)):
        assert keys.is_id(each)
        assert keys.made_at_s(each) <= noon / 1000
        for key in (keys.upload_key(each), keys.inbox_key(each)):
            assert keys.upload_id(key) == each
            assert keys.folder_of(key) in {"uploads/", "inbox/"}
    strange = [f"uploads/{spread[0]}", f"uploads/-y/{spread[0]}", f"uploads/-z/{spread[0][:26]}", "uploads/-z/cat.png"]
    strange += [f"uploads/-!/{spread[0][:26]}!", f"inbox/-z/{spread[0]}z", f"photos/-z/{spread[0]}"]
    assert [keys.upload_id(key) for key in strange] == [None] * len(strange)
    assert keys.folder_of("uploads/-z/cat.png") == "uploads/-z/"


def test_the_first_key_of_all_shards_tells_which_there_are() -> None:
    for prefixes in (2, 5, 32):
        stored = sorted(keys.upload_key(keys.new_id(1_790_000_000_000, number, prefixes)) for number in range(64))
        stored += [keys.upload_key(keys.new_id(1_790_000_000_000, 1))]
        listed = [key for key in sorted(stored) if key.startswith(keys.all_shards("uploads/"))]
        found = keys.shard_prefixes("uploads/", listed[0])
        assert {key.rpartition("/")[0] + "/" for key in listed} == set(found)
        assert [key for key in stored if key > keys.before_ids("uploads/")] == stored[-1:]
    assert len(keys.shard_prefixes("uploads/", "uploads/-a stranger's")) == keys.MAX_KEY_PREFIXES


@pytest.mark.parametrize(
    ("source", "rendition"),
    [
        ("uploads/7abc", "thumbnail/7abc.jpg"),
        ("pngfiles/cat.png", "thumbnail/cat.jpg"),
        ("cat.png", "thumbnail/cat.jpg"),
        ("a/b/c.tar.gz", "thumbnail/b/c.tar.jpg"),
        ("a/.hidden", "thumbnail/.hidden.jpg"),
        ("folder/", "thumbnail/folder.jpg"),
        ("a/...jpg", "thumbnail/...jpg.jpg"),
        ("日本/猫 +%.png", "thumbnail/猫 +%.jpg"),
    ],
)
def test_a_rendition_is_named_after_its_source_without_first_folder_and_extension(source: str, rendition: str) -> None:
    assert THUMBNAIL.rendition_key(source) == rendition


def test_hash_tells_sources_apart_whose_names_collide() -> None:
    preset = Preset(name="p", width=1, key="p/{name}-{hash}.{ext}")
    assert preset.rendition_key("x/a.png") != preset.rendition_key("x/a.gif")


@pytest.mark.parametrize("letter", ["a", "é", "😀"])
def test_no_derived_key_is_longer_than_s3_takes(letter: str) -> None:
    source = letter * (1024 // len(letter.encode()))
    for key in (keys.manifest_key(source), THUMBNAIL.rendition_key(source)):
        assert len(key.encode()) <= 1024
    assert keys.manifest_key(source) != keys.manifest_key(source[:-1] + "b")
    assert keys.manifest_key(source).endswith(".json")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{name}.{ext}", "does not start with a folder"),
        ("all/{preset}.{ext}", "all keys would be the same"),
        ("x/{size}", "is not one of"),
        ("x/{name", "expected '}'"),
        ("uploads/{name}", "keeps for itself"),
        ("../../x/{name}.{ext}", "a segment that is empty, . or .."),
        ("x/../{name}.{ext}", "a segment that is empty, . or .."),
        ("x/./{name}.{ext}", "a segment that is empty, . or .."),
        ("x//{name}.{ext}", "a segment that is empty, . or .."),
        ("x/{name}/", "a segment that is empty, . or .."),
    ],
)
def test_a_key_template_that_could_not_work_is_refused_with_the_reason(template: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Preset(name="p", width=1, key=template)


def test_a_fingerprint_changes_with_the_recipe_only() -> None:
    assert Preset(name="p", width=10).fingerprint == Preset(name="p", width=10).fingerprint
    assert Preset(name="p", width=10).fingerprint != Preset(name="p", width=10, quality=81).fingerprint


def test_fill_needs_both_sides() -> None:
    with pytest.raises(ValidationError, match="give width and height"):
        Preset(name="p", width=10, fit="fill")


@pytest.mark.parametrize("key", ["cat.png", "a b+c%20.png", "日本/猫😀.jpg", "x" * 1024])
def test_a_request_survives_its_message(key: str) -> None:
    request = JobRequest(ObjectRef("bucket", key), ("thumbnail",))
    assert message.parse(message.encode(request), default_bucket="other").jobs == (request,)
    assert message.parse(key, default_bucket="bucket").jobs == (JobRequest(ObjectRef("bucket", key)),)


@pytest.mark.parametrize(
    "body",
    [
        "",
        " \n",
        "{",
        "[]",
        "{}",
        '{"key": 1}',
        '{"key": ""}',
        '{"key": "a", "presets": "x"}',
        '{"key": "a", "presets": []}',
        '{"key": "a", "bucket": null}',
        '{"key": "\\ud800"}',
        "x" * 1025,
        "[" * 200_000,
    ],
)
def test_what_is_no_job_is_malformed_and_says_why(body: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        message.parse(body, default_bucket="bucket")
    assert refused.value.text


def test_a_permanent_failure_is_buried_at_once() -> None:
    disposition = retry.after_failure(
        RenderRefused("corrupt", "why"), receive_count=1, max_receive_count=10, past=CrashRecord(kills=1), jitter=0.5
    )
    assert disposition == retry.Bury("corrupt", "why")


@pytest.mark.parametrize(
    "error", [BackendUnavailable("S3 is away"), RenderKilled("render-crashed", "gone"), ValueError("bug")]
)
def test_what_may_pass_is_tried_again_until_the_last_receive(error: Exception) -> None:
    again = retry.after_failure(error, receive_count=9, max_receive_count=10, past=CrashRecord(kills=1), jitter=0.5)
    assert isinstance(again, retry.Release)
    last = retry.after_failure(error, receive_count=10, max_receive_count=10, past=CrashRecord(kills=1), jitter=0.5)
    assert isinstance(last, retry.Bury)
    assert last.code == "attempts-exhausted"
    assert isinstance(
        retry.after_failure(error, receive_count=99, max_receive_count=None, past=CrashRecord(kills=1), jitter=0.5),
        retry.Release,
    )


def test_what_kills_renders_is_buried_after_the_second_and_other_failures_do_not_count() -> None:
    crash, outage = RenderKilled("decode-timeout", "too long"), BackendUnavailable("S3 is away")
    buried = retry.after_failure(crash, receive_count=2, max_receive_count=None, past=CrashRecord(kills=2), jitter=0.5)
    assert isinstance(buried, retry.Bury)
    assert buried.code == "decode-timeout"
    again = retry.after_failure(outage, receive_count=2, max_receive_count=None, past=CrashRecord(kills=2), jitter=0.5)
    assert isinstance(again, retry.Release)


def test_a_note_is_read_as_it_was_written_and_a_long_body_is_cut_to_fit_beside_it() -> None:
    note = Note("corrupt", "it is broken", "id-1", 3, trace="Root=1-67891233-abcdef012345678912345678")
    assert deadletter.decode(note.encode()) == note
    assert deadletter.decode("no note") is deadletter.decode(None) is None
    body = "ä" * 1000
    assert deadletter.fits("short", note, 400)
    assert not deadletter.fits(body, note, 1000)
    kept, shortened = deadletter.cut(body, note, 1000)
    assert deadletter.fits(kept, shortened, 1000)
    assert not deadletter.fits(kept + "ää", shortened, 1000), "as much as there is room for"
    assert body.startswith(kept)
    assert shortened.body_bytes == 2000


def test_backoff_grows_to_a_cap_and_uses_the_whole_range_of_the_jitter() -> None:
    assert [retry.backoff_s(count, 0.999_999) for count in (1, 2, 3)] == pytest.approx([1, 2, 4], rel=1e-3)
    assert retry.backoff_s(1000, 0.5) == retry.BACKOFF_CAP_S / 2
    assert retry.backoff_s(5, 0.0) == 0


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\xff\xd8\xff\xe1", ImageFormat.JPEG),
        (b"\x00\x00\x00\x20ftypavif\x00\x00\x00\x00avif", ImageFormat.AVIF),
        (b"\x00\x00\x00\x20ftypmif1\x00\x00\x00\x00mif1avif", ImageFormat.AVIF),
        (b"\x00\x00\x00\x20ftypheic\x00\x00\x00\x00mif1heic", ImageFormat.HEIF),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", ImageFormat.WEBP),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        (b"BMW is a make of cars, not a bitmap", None),
        (b"%!PS-Adobe-3.0 EPSF-3.0", None),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x00\x00", None),
        (b"", None),
    ],
)
def test_a_format_is_recognised_by_its_first_bytes(head: bytes, expected: ImageFormat | None) -> None:
    assert sniff(head) is expected
