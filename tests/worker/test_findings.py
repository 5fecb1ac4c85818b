"""When a failure leaves a manifest that says done alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from thumbq.core.manifest import FailedRendition, Manifest, SourceRecord
from thumbq.core.preset import BUILT_IN
from thumbq.jobs.findings import Findings
from thumbq.ports import ObjectInfo

PRESETS = tuple(BUILT_IN)[:2]


def done(*, etag: str = "a", failed: int = 2) -> Manifest:
    """Return the manifest of a job of which so many presets have failed for good."""
    why = {each.name: FailedRendition(code="c", message="m", fingerprint=each.fingerprint) for each in PRESETS[:failed]}
    source = SourceRecord(bucket="b", key="uploads/k", etag=etag)
    return Manifest(status="done", source=source, failed=why or None, finished_at=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("previous", "fetched", "alone"),
    [
        (done(), "a", True),  # a second message about it has failed: it knows of nothing that is not said already
        (done(), "b", False),
        (done(failed=1), "a", False),
        (done(failed=1), None, True),
        (done().model_copy(update={"status": "failed"}), "a", False),
        (None, "a", False),
    ],
)
def test_what_says_of_the_same_picture_what_became_of_each_preset_stays(
    previous: Manifest | None, fetched: str | None, *, alone: bool
) -> None:
    info = None if fetched is None else ObjectInfo(1, fetched, "image/jpeg", {})
    assert Findings(presets=PRESETS, info=info).leave_alone(previous) is alone
