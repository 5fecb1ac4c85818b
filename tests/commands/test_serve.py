"""Of a start: nothing is collected before its end, and all that it has loaded is left alone after it."""

from __future__ import annotations

import gc
import socket
from typing import TYPE_CHECKING

from support.commands import thumbq
from thumbq import service
from thumbq.cli.service import _announce

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_start_is_refused_where_the_port_for_metrics_is_the_services_own_or_taken(tmp_path: Path) -> None:
    directory = str(tmp_path / "data")
    same = thumbq("serve", "--local", directory, "--port", "9464", THUMBQ_METRICS_PORT="9464")
    assert same.exit_code == 2
    assert "THUMBQ_METRICS_PORT and THUMBQ_PORT are both 9464" in same.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = thumbq("serve", "--local", directory, "--port", "0", THUMBQ_METRICS_PORT=port)
    assert refused.exit_code == 2
    assert f"cannot listen on 127.0.0.1:{port} for metrics" in refused.stderr
    assert not (tmp_path / "data").exists(), "it had begun"
