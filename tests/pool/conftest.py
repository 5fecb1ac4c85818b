"""The two ways to run a render process, for the tests that run over both."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["executor", "pipe"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test once as usual, and once as where there are no semaphores."""
    if request.param == "pipe":
        monkeypatch.setattr("thumbq.pool.processhandle.semaphores_exist", lambda: False)
    return str(request.param)
