"""What can be said of `.ci/run` without running it; it lints itself with shellcheck."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
CI = ROOT / ".ci" / "run"


def test_the_ci_script_is_executable_and_valid_bash() -> None:
    assert os.access(CI, os.X_OK)
    subprocess.run(["bash", "-n", CI], check=True, timeout=20)


def test_ci_ends_with_the_test_command_of_readme_and_may_not_skip_the_emulator() -> None:
    lines = CI.read_text().splitlines()
    assert lines[-1].endswith("pytest")
    assert lines[-1] in (ROOT / "README.md").read_text().splitlines()
    assert "export REQUIRE_MINISTACK=1" in lines


def test_the_tools_of_ci_are_pinned() -> None:
    tools = [line.split()[1] for line in CI.read_text().splitlines() if line.startswith("tool ")]
    assert tools
    assert all("==" in tool for tool in tools)
