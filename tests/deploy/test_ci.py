"""What can be said of `.ci/run` without running it; it lints itself with shellcheck."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from support import documents
from support.documents import README
from support.patience import patience
from support.programs import REQUIRED

ROOT = Path(__file__).parents[2]
CI = ROOT / ".ci" / "run"


def test_the_ci_script_is_executable_and_valid_bash() -> None:
    assert os.access(CI, os.X_OK)
    subprocess.run(["bash", "-n", CI], check=True, timeout=patience(10))


def test_ci_ends_with_the_test_command_of_readme_and_may_skip_nothing_for_want_of_a_program() -> None:
    lines = CI.read_text().splitlines()
    assert lines[-1].endswith("pytest")
    assert lines[-1] in documents.text(README).splitlines()
    assert f"export REQUIRE_MINISTACK=1 {REQUIRED}=1" in lines
    assert "declare -A packages=([curl]=curl [chromium]=chromium [node]=nodejs [npm]=npm)" in lines
    assert ".uv/bin/uv sync --quiet --locked --group clients" in lines


def test_the_tools_of_ci_are_pinned() -> None:
    tools = [line.split()[1] for line in CI.read_text().splitlines() if line.lstrip().startswith("tool ")]
    assert len(tools) > 8
    assert all("==" in tool for tool in tools)


def test_ci_lints_each_template_of_cloudformation_and_sam() -> None:
    [listing] = [line for line in CI.read_text().splitlines() if line.startswith("mapfile -t templates")]
    texts = {path: path.read_text() for path in (ROOT / "deploy").rglob("*.yaml")}
    templates = {str(path.relative_to(ROOT)) for path, text in texts.items() if "AWSTemplateFormatVersion" in text}
    assert "deploy/cloudformation.yaml" in templates
    assert templates <= set(re.findall(r"deploy/[\w./-]+", listing))
