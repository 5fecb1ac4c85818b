"""Prometheus's own tool, of Debian's package `prometheus`; .ci/run installs it, and elsewhere a machine may lack it."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def promtool(*arguments: str, stdin: bytes | None = None) -> str:
    """Run it and return what it prints; an error fails the test, and so does its absence in .ci/run."""
    if shutil.which("promtool") is None:
        if os.environ.get("REQUIRE_PROMTOOL"):
            pytest.fail("promtool is missing: apt-get install prometheus")
        pytest.skip("promtool is missing: apt-get install prometheus")
    done = subprocess.run(["promtool", *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return (done.stdout + done.stderr).decode()
