"""The workflows of GitHub, as far as they can be held here: `.ci/run` has zizmor and the schemas, this the rest."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from support.patience import patience

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS: Final = {path.stem: path.read_text() for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}


def jobs(workflow: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(WORKFLOWS[workflow])["jobs"]
    return loaded


def steps(workflow: str) -> list[dict[str, Any]]:
    return list(chain.from_iterable(job.get("steps", ()) for job in jobs(workflow).values()))


def ran(script: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=directory,
        env={"PATH": os.environ["PATH"]} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=patience(10),
    )


def test_each_action_is_pinned_by_one_commit_and_says_its_version() -> None:
    used = re.findall(r"uses: (?!\./)(\S+)@(\S+)( .*)?", "\n".join(WORKFLOWS.values()))
    assert len(used) > 10
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for _, commit, _ in used)
    assert all(re.fullmatch(r" # v\d+\.\d+\.\d+", version) for _, _, version in used)
    assert len({name for name, _, _ in used}) == len(set(used)), "an action is pinned by one commit everywhere"


def test_each_program_of_the_repository_that_a_workflow_runs_is_there() -> None:
    for workflow, text in WORKFLOWS.items():
        for name in re.findall(r"\.ci/[\w-]+", text):
            assert os.access(ROOT / name, os.X_OK), (workflow, name)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_the_scripts_of_a_workflow_are_valid_and_take_no_expression_into_them(workflow: str, tmp_path: Path) -> None:
    scripts = [step["run"] for step in steps(workflow) if "run" in step]
    assert scripts
    for script in scripts:
        assert "${{" not in script
        subprocess.run(["bash", "-n", "-c", script], check=True, cwd=tmp_path, timeout=patience(10))


def test_every_python_that_may_be_used_is_tested_and_arm64_too() -> None:
    matrix = jobs("ci")["tests"]["strategy"]["matrix"]
    declared = {name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)}
    assert declared <= set(matrix["python"])
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"
    assert [other["machine"] for other in matrix["include"]] == ["arm64"]
    [tests] = [step["run"] for step in jobs("ci")["tests"]["steps"] if "run" in step]
    assert tests in (ROOT / "README.md").read_text().splitlines()


def test_nothing_is_published_before_all_is_checked() -> None:
    release = jobs("release")
    assert {"ci", "packages"} == set(release["pypi"]["needs"]) == set(release["image"]["needs"])
    assert {"pypi", "image"} == set(release["notes"]["needs"])


@pytest.mark.parametrize(
    ("tag", "tags"),
    [("v1.2.3", "ghcr.io/some/thumbq:1.2.3,ghcr.io/some/thumbq:latest"), ("v2.0.0rc1", "ghcr.io/some/thumbq:2.0.0rc1")],
)
def test_the_image_is_named_after_the_repository_and_the_tag(tag: str, tags: str, tmp_path: Path) -> None:
    [script] = [step["run"] for step in jobs("release")["image"]["steps"] if "run" in step]
    out = tmp_path / "out"
    done = ran(script, tmp_path, GITHUB_REPOSITORY="Some/Thumbq", GITHUB_REF_NAME=tag, GITHUB_OUTPUT=str(out))
    assert done.returncode == 0, done.stderr
    assert f"tags={tags}" in out.read_text().splitlines()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a copy of what `.ci/release-notes` reads, where version 1.2.3 is released."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "release-notes").write_bytes((ROOT / ".ci" / "release-notes").read_bytes())
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## [Unreleased]\n\n- later\n\n## [1.2.3] - 2026-01-31\n\n### Added\n\n- this\n\n"
        "## [1.2.2] - 2026-01-30\n\n- no\n"
    )
    return tmp_path


def test_the_notes_of_a_release_are_its_section_of_the_changelog(repository: Path) -> None:
    done = ran("bash .ci/release-notes v1.2.3", repository)
    assert (done.returncode, done.stdout.split()) == (0, ["###", "Added", "-", "this"])


@pytest.mark.parametrize(("version", "tag"), [("1.2.4", "v1.2.3"), ("1.2.4", "v1.2.4"), ("1.2.3", "1.2.3")])
def test_a_tag_without_its_version_or_its_section_is_no_release(repository: Path, version: str, tag: str) -> None:
    (repository / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
    done = ran(f"bash .ci/release-notes {tag}", repository)
    assert (done.returncode, done.stdout) == (1, "")
    assert version in done.stderr or "section" in done.stderr


def test_deployments_name_the_image_of_this_version() -> None:
    named = [
        *re.findall(r'newTag: "(.+)"', (ROOT / "deploy" / "kubernetes" / "kustomization.yaml").read_text()),
        *re.findall(r"/thumbq:([\d.]+)", (ROOT / "deploy" / "README.md").read_text()),
    ]
    assert len(named) > 1
    assert set(named) == {PROJECT["version"]}
