from __future__ import annotations

from typing import TYPE_CHECKING

from support.processes.marked_pool import marked_pool
from thumbq.commands.render import render
from thumbq.core.preset import BUILT_IN
from thumbq.settings import load

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from thumbq.core.manifest import Manifest


async def test_a_preset_that_kills_its_renders_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumbq.commands.render.render_pool", lambda _: marked_pool())
    files = [tmp_path / "one.jpg", tmp_path / "all.jpg"]
    files[0].write_bytes(b"with stretched signal SIGSEGV")
    files[1].write_bytes(b"raise")
    found: list[Manifest] = []
    await render(load(), files, tmp_path / "out", presets=BUILT_IN, report=found.append)
    one, whole = found
    assert (one.status, list(one.renditions)) == ("done", ["thumbnail", "jpgfiles"])
    assert {name: failed.code for name, failed in (one.failed or {}).items()} == {"stretched": "render-crashed"}
    assert whole.error is not None
    assert (whole.error.code, whole.renditions, whole.failed) == ("render-crashed", {}, None)
