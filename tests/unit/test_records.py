"""Stored records: other versions of thumbq read the same bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from thumbq.core.crashrecord import CrashRecord, PresetCrashes
from thumbq.core.failedmessage import FailedMessage
from thumbq.core.manifest import ErrorRecord, Manifest, RenditionRecord, SourceRecord, StepsRecord
from thumbq.core.presigned import PresignedRecord

if TYPE_CHECKING:
    from thumbq.core.record import StoredRecord

AT = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)

RENDITION = RenditionRecord(
    bucket="b",
    key="thumbnail/ä.jpg",
    width=75,
    height=100,
    bytes=4,
    content_type="image/jpeg",
    sha256="00",
    fingerprint="f",
    steps=StepsRecord(orientation=6),
)

# As version 0.1.0 stores them.
STORED: list[tuple[StoredRecord, str]] = [
    (
        CrashRecord(kills=1, vanished=1, open=True, code="decode-timeout", text="fünf s"),
        '{"version":1,"kills":1,"vanished":1,"open":true,"code":"decode-timeout","text":"fünf s"}',
    ),
    (
        CrashRecord(kills=1, open=True, rendering="big", presets={"big": PresetCrashes(vanished=1, text="t")}),
        (
            '{"version":1,"kills":1,"vanished":0,"open":true,"code":"render-crashed",'
            '"text":"the process that rendered it ended, and nothing says why","rendering":"big",'
            '"presets":{"big":{"kills":0,"vanished":1,"code":"render-crashed","text":"t"}}}'
        ),
    ),
    (
        PresignedRecord(expires_at=1_767_323_045.5, content_type="image/png", max_bytes=9, presets=("thumbnail",)),
        '{"version":1,"expires_at":1767323045.5,"content_type":"image/png","max_bytes":9,"presets":["thumbnail"]}',
    ),
    (
        FailedMessage(
            message_id="m",
            receive_count=3,
            body='{"ä": "\x00"}',
            error=ErrorRecord(code="malformed-message", message="it is no JSON"),
            finished_at=AT,
        ),
        r"""{
  "version": 1,
  "status": "failed",
  "message_id": "m",
  "receive_count": 3,
  "body": "{\"ä\": \"\u0000\"}",
  "error": {
    "code": "malformed-message",
    "message": "it is no JSON"
  },
  "finished_at": "2026-01-02T03:04:05.678000Z"
}
""",
    ),
    (
        Manifest(
            status="failed",
            source=SourceRecord(bucket="b", key="uploads/ä", etag="e"),
            renditions={"thumbnail": RENDITION},
            error=ErrorRecord(code="c", message="m"),
            receive_count=2,
            finished_at=AT,
        ),
        """{
  "version": 2,
  "status": "failed",
  "source": {
    "bucket": "b",
    "key": "uploads/ä",
    "etag": "e"
  },
  "renditions": {
    "thumbnail": {
      "bucket": "b",
      "key": "thumbnail/ä.jpg",
      "width": 75,
      "height": 100,
      "frames": 1,
      "bytes": 4,
      "content_type": "image/jpeg",
      "sha256": "00",
      "fingerprint": "f",
      "steps": {
        "orientation": 6,
        "frames_dropped": 0
      }
    }
  },
  "error": {
    "code": "c",
    "message": "m"
  },
  "receive_count": 2,
  "finished_at": "2026-01-02T03:04:05.678000Z"
}
""",
    ),
]
RECORDS = [pytest.param(record, text, id=type(record).__name__) for record, text in STORED]


@pytest.mark.parametrize(("record", "text"), RECORDS)
def test_a_record_is_stored_in_the_same_bytes_as_ever_and_read_from_them(record: StoredRecord, text: str) -> None:
    assert record.encode().decode() == text
    assert type(record).decode(text.encode()) == record


@pytest.mark.parametrize(("record", "text"), RECORDS)
def test_a_damaged_or_foreign_record_is_as_good_as_none(record: StoredRecord, text: str) -> None:
    later = text.replace(f'"version":{" " * record.INDENTED}{record.version}', '"version": 99')
    for raw in (b"", b"[]", b"\xff", later.encode()):
        assert type(record).decode(raw) is None
    assert later != text


@pytest.mark.parametrize(("record", "text"), RECORDS)
def test_a_member_that_this_program_does_not_know_is_passed_over(record: StoredRecord, text: str) -> None:
    assert type(record).decode(text.replace("{", '{"invented_later": {"by": "somebody"}, ', 1).encode()) == record
