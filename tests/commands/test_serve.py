"""Of a start: nothing is collected before its end, and all that it has loaded is left alone after it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from support.commands import thumbq
from thumbq import service
from thumbq.cli.service import _announce

if TYPE_CHECKING:
    import pytest


def test_garbage_is_collected_again_from_the_end_of_the_start_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    async def serve(*_: object, **__: object) -> None:
        seen.append(gc.isenabled())
        _announce("http://127.0.0.1:8080", with_token=False)
        seen.extend((gc.isenabled(), gc.get_freeze_count() > len(gc.get_objects())))

    monkeypatch.setattr(service, "serve", serve)
    try:
        result = thumbq("serve", THUMBQ_BUCKET="b", THUMBQ_QUEUE="q")
    finally:
        gc.unfreeze()
    assert "listening on http://127.0.0.1:8080" in result.output
    assert seen == [False, True, True]


def test_garbage_is_collected_after_a_start_that_was_refused() -> None:
    assert thumbq("serve", THUMBQ_QUEUE="q").exit_code != 0
    assert gc.isenabled()
