"""Manifests: stored and read again, older and newer ones, and what is published of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

from support import documents
from support.documents import MANIFEST
from support.pictures import images
from support.schemas import manifest_schema
from support.schemas.manifest_schema import faults
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import MANIFEST_VERSION, Manifest, SourceRecord, StepsRecord
from thumbq.core.preset import THUMBNAIL
from thumbq.imaging import Limits
from thumbq.imaging.render import render
from thumbq.manifests import rendition_record, with_findings
from thumbq.ports import Rendered, RenderedImage, Steps

if TYPE_CHECKING:
    from collections.abc import Callable

ALL_STEPS = Steps(
    orientation=6, profile="embedded", flattened_on="#ffffff", frames_dropped=3, shrink_on_load="1/8 dc-only"
)
IMAGE = RenderedImage("thumbnail", b"body", 75, 100, "image/jpeg", frames=1, steps=ALL_STEPS)
RENDERED = Rendered("JPEG", 3000, 4000, (IMAGE,), frames=4, dominant_color="#a0b1c2", thumbhash="2PcNDYI=")

VERSION_1 = f"""{{
  "version": 1,
  "status": "done",
  "source": {{"bucket": "b", "key": "a", "etag": "e", "bytes": 9, "format": "JPEG", "width": 4, "height": 3}},
  "renditions": {{"thumbnail": {{
    "bucket": "b", "key": "thumbnail/a.jpg", "width": 1, "height": 1, "bytes": 1, "content_type": "image/jpeg",
    "sha256": "00", "fingerprint": "{THUMBNAIL.fingerprint}"}}}},
  "message_id": "m",
  "receive_count": 1,
  "finished_at": "2026-01-01T00:00:00Z"
}}""".encode()


def made_of(rendered: Rendered, **changes: object) -> Manifest:
    source = with_findings(SourceRecord(bucket="b", key="a", etag="e", bytes=9), rendered)
    target = ObjectRef("b", "thumbnail/a.jpg")
    values = {
        "status": "done",
        "source": source,
        "renditions": {image.preset: rendition_record(THUMBNAIL, target, image) for image in rendered.images},
        "message_id": "m",
        "receive_count": 1,
        "finished_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Manifest.model_validate(values | changes)


def test_a_manifest_survives_storage_and_others_are_not_taken_for_one() -> None:
    stored = made_of(RENDERED)
    assert Manifest.decode(stored.encode()) == stored
    for raw in (b"", b"{}", b"\xff", stored.encode().replace(b'"version": 2', b'"version": 3')):
        assert Manifest.decode(raw) is None


def test_a_rendition_is_current_for_the_same_source_and_recipe_only() -> None:
    wanted, stored = {"thumbnail": THUMBNAIL.fingerprint}, made_of(RENDERED)
    assert stored.current(etag="e", fingerprints=wanted).keys() == {"thumbnail"}
    assert not stored.current(etag="other", fingerprints=wanted)
    assert not stored.current(etag=None, fingerprints=wanted)
    assert not stored.current(etag="e", fingerprints={"thumbnail": "changed"})


def test_all_that_a_render_tells_is_in_the_manifest() -> None:
    stored = json.loads(made_of(RENDERED).encode())
    told = dataclasses.asdict(RENDERED)
    del told["images"], told["not_made"], told["cpu_s"]
    assert told.items() <= stored["source"].items()
    assert stored["renditions"]["thumbnail"] == {
        "bucket": "b",
        "key": "thumbnail/a.jpg",
        "width": 75,
        "height": 100,
        "frames": 1,
        "bytes": 4,
        "content_type": "image/jpeg",
        "sha256": hashlib.sha256(b"body").hexdigest(),
        "fingerprint": THUMBNAIL.fingerprint,
        "steps": dataclasses.asdict(ALL_STEPS),
    }


def test_every_step_that_a_render_can_name_has_its_member() -> None:
    assert StepsRecord.model_fields.keys() == {field.name for field in dataclasses.fields(Steps)}


def test_what_was_not_done_and_what_is_not_known_is_absent() -> None:
    plain = RenderedImage("thumbnail", b"body", 75, 100, "image/jpeg")
    stored = json.loads(made_of(Rendered("PNG", 1, 1, (plain,))).encode())
    assert stored["renditions"]["thumbnail"]["steps"] == {"orientation": 1, "frames_dropped": 0}
    assert not stored["source"].keys() & {"dominant_color", "thumbhash"}


def test_a_manifest_of_each_of_the_last_two_versions_is_read() -> None:
    stored = {1: VERSION_1, 2: made_of(RENDERED).encode()}
    for version in (MANIFEST_VERSION, MANIFEST_VERSION - 1):
        assert json.loads(stored[version])["version"] == version
        read = Manifest.decode(stored[version])
        assert read is not None
        assert read.version == MANIFEST_VERSION


def test_a_manifest_of_version_1_still_tells_its_renditions_and_they_still_count() -> None:
    old = Manifest.decode(VERSION_1)
    assert old is not None
    assert old.current(etag="e", fingerprints={"thumbnail": THUMBNAIL.fingerprint}) == old.renditions
    assert old.renditions["thumbnail"].steps is None, "nobody knows"
    assert old.source.frames is None
    assert faults(old.encode()) == [], "what is written is always of the version that this program knows"


def test_a_member_that_this_program_does_not_know_is_passed_over() -> None:
    later = json.loads(made_of(RENDERED).encode())
    for record in (later, later["source"], later["renditions"]["thumbnail"], later["renditions"]["thumbnail"]["steps"]):
        record["invented_later"] = {"by": "somebody"}
    assert Manifest.decode(json.dumps(later).encode()) == made_of(RENDERED)
    assert faults(json.dumps(later).encode()) == []


def test_the_schema_is_that_of_the_model() -> None:
    assert manifest_schema.of_the_model() == manifest_schema.TEXT, (
        "write of_the_model() into src/thumbq/core/manifest.schema.json; "
        "if a member was removed or means something else, raise MANIFEST_VERSION"
    )
    Draft202012Validator.check_schema(manifest_schema.SCHEMA)
    assert manifest_schema.SCHEMA["$id"] == f"urn:thumbq:manifest:{MANIFEST_VERSION}"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"error": {"code": "corrupt", "message": "it is broken"}, "status": "failed"},
        {"source": {"bucket": "b", "key": "a"}, "renditions": {}, "message_id": None, "receive_count": None},
    ],
)
def test_manifests_are_as_the_schema_says(changes: dict[str, Any]) -> None:
    assert faults(made_of(RENDERED, **changes).encode()) == []


def test_the_manifest_of_a_real_render_is_as_the_schema_says() -> None:
    rendered = render(images.small_jpeg(), [THUMBNAIL], Limits())
    assert isinstance(rendered, Rendered)
    assert faults(made_of(rendered).encode()) == []


def _without(*path: str) -> Callable[[dict[str, Any]], None]:
    def remove(record: dict[str, Any]) -> None:
        for name in path[:-1]:
            record = record[name]
        del record[path[-1]]

    return remove


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_without("source"), "source"),
        (_without("source", "key"), "key"),
        (_without("renditions", "thumbnail", "sha256"), "sha256"),
        (_without("renditions", "thumbnail", "frames"), "frames"),
        (_without("renditions", "thumbnail", "steps", "orientation"), "orientation"),
        (lambda record: record.update(version=1), "version"),
        (lambda record: record.update(status="queued"), "status"),
        (lambda record: record["source"].update(width="4000"), "width"),
        (lambda record: record["source"].update(thumbhash=None), "thumbhash"),
    ],
)
def test_the_schema_has_something_against_what_is_no_manifest(
    spoil: Callable[[dict[str, Any]], None], named: str
) -> None:
    record = json.loads(made_of(RENDERED).encode())
    spoil(record)
    (fault,) = faults(json.dumps(record).encode())
    assert named in fault


def test_the_document_shows_a_manifest_and_explains_every_member() -> None:
    example = documents.example(MANIFEST, "Example", "json")
    shown = Manifest.decode(example.encode())
    assert shown is not None
    assert faults(example.encode()) == []
    assert shown.version == MANIFEST_VERSION
    records = (manifest_schema.SCHEMA, *manifest_schema.SCHEMA["$defs"].values())
    members = {name for record in records for name in record["properties"]}
    explained = documents.text(MANIFEST).replace(example, "")
    assert [name for name in sorted(members) if f"`{name}`" not in explained] == []
