"""What can be said of `.ci/run` without running it; it lints itself with shellcheck."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import tarfile
import zipfile
from pathlib import Path

from support import documents
from support.documents import README
from support.patience import patience
from support.programs import REQUIRED

ROOT = Path(__file__).parents[2]
CI = ROOT / ".ci" / "run"
PACKAGES = ROOT / ".ci" / "packages"


def test_the_ci_script_is_executable_and_valid_bash() -> None:
    assert os.access(CI, os.X_OK)
    subprocess.run(["bash", "-n", CI], check=True, timeout=patience(10))


def test_ci_checks_and_serves_what_a_release_publishes() -> None:
    lines = CI.read_text().splitlines()
    assert '.ci/packages "$scratch/packages"' in lines


def test_a_file_that_a_package_lacks_or_that_does_not_belong_there_is_told(tmp_path: Path) -> None:
    contents = runpy.run_path(str(ROOT / ".ci" / "contents.py"))
    sources = {"thumbq/cli.py", "thumbq/py.typed", contents["LICENSE_OF_PROFILES"]}
    sdist, wheel = tmp_path / "thumbq-1.tar.gz", tmp_path / "thumbq-1-py3-none-any.whl"
    with tarfile.open(sdist, "w:gz") as opened:
        for name in sorted(contents["SDIST"] | {f"src/{source}" for source in sources} | {".hypothesis/x"}):
            opened.addfile(tarfile.TarInfo(f"thumbq-1/{name}"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("thumbq/cli.py", *(f"thumbq-1.dist-info/{name}" for name in contents["WHEEL"])):
            archive.writestr(name, "")
    assert contents["faults"](sdist, wheel, sources) == [
        "thumbq-1.tar.gz has .hypothesis/x",
        "thumbq-1-py3-none-any.whl lacks thumbq/py.typed",
    ]


def test_ci_ends_with_the_test_command_of_readme_and_may_skip_nothing_for_want_of_a_program() -> None:
    lines = CI.read_text().splitlines()
    assert lines[-1].endswith("pytest")
    assert lines[-1] in documents.text(README).splitlines()
    assert f"export REQUIRE_MINISTACK=1 {REQUIRED}=1" in lines
    assert "export REQUIRE_PROMTOOL=1" in lines
    packages = "[curl]=curl [chromium]=chromium [node]=nodejs [npm]=npm [promtool]=prometheus"
    assert f"declare -A packages=({packages})" in lines
    assert ".uv/bin/uv sync --quiet --locked --group clients" in lines


def test_the_tools_of_ci_are_pinned() -> None:
    lines = CI.read_text().splitlines() + PACKAGES.read_text().splitlines()
    tools = [line.split()[1] for line in lines if line.lstrip().startswith("tool ")]
    assert len(tools) > 14
    assert all("==" in tool for tool in tools)


def test_ci_lints_each_template_of_cloudformation_and_sam() -> None:
    [listing] = [line for line in CI.read_text().splitlines() if line.startswith("mapfile -t templates")]
    texts = {path: path.read_text() for path in (ROOT / "deploy").rglob("*.yaml")}
    templates = {str(path.relative_to(ROOT)) for path, text in texts.items() if "AWSTemplateFormatVersion" in text}
    assert "deploy/cloudformation.yaml" in templates
    assert templates <= set(re.findall(r"deploy/[\w./-]+", listing))


def test_ci_holds_all_that_github_reads_to_its_schema() -> None:
    commands = [line for line in CI.read_text().splitlines() if "--builtin-schema vendor." in line]
    script = "printf '%s\\n' " + " ".join(
        line.rpartition("--builtin-schema ")[2].partition(" ")[2] for line in commands
    )
    held = subprocess.run(["bash", "-c", script], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    read = {str(path.relative_to(ROOT)) for path in (ROOT / ".github").rglob("*.yml")}
    assert len(read) > 5
    assert read | {"docker-compose.yml"} == set(held)
