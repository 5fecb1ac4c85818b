"""What deploy/lambda promises: a zip that Lambda takes and that needs nothing else, and a template to go with it."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support import documents
from support.aws.templates import read_template
from support.documents import LAMBDA
from support.patience import patience
from support.pictures.images import photo_jpeg
from thumbq.memory import needed_bytes
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

DEPLOY = Path(__file__).parents[2] / "deploy" / "lambda"
MIB = 1 << 20
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}

# With -I and -S Python finds its standard library, and what the first argument names.
RENDER = """
import sys
sys.path.insert(0, sys.argv[1])
import anyio
from pathlib import Path
import thumbq.telemetry.traces
from thumbq.aws_lambda import handler
from thumbq.core.preset import THUMBNAIL
from thumbq.rendering import render_pool
from thumbq.settings import load

async def main():
    async with render_pool(load(processes=1)) as pool:
        with pool.source() as source:
            source.write(Path(sys.argv[2]).read_bytes())
            async with pool.acquire() as process:
                rendered = await process.render(source, [THUMBNAIL])
    print(rendered.format, rendered.images[0].width, rendered.images[0].height)

anyio.run(main)
outside = {name for name, module in sys.modules.items() if "site-packages" in (getattr(module, "__file__", "") or "")}
assert not outside, outside
"""


def built(directory: Path, python: str, *arguments: str) -> Path:
    """Run the documented command where ``python`` is on PATH, as it has to be for the build to compile ahead."""
    out = directory / "function.zip"
    done = subprocess.run(
        ["bash", DEPLOY / "build", "--out", out, *arguments],
        env=os.environ | {"PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


def render(python: str, directory: Path, archive: Path) -> str:
    """Render a photo with what is in the zip and nothing else."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(directory / "task")
    photo = directory / "photo.jpg"
    photo.write_bytes(photo_jpeg(800, 600, 6))
    done = subprocess.run(
        [python, "-I", "-S", "-W", "error", "-c", RENDER, directory / "task", photo],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=patience(10),
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def python_of_lambda() -> str | None:
    """Return a Python of the version that the build is for by default, if there is one that works."""
    kept = sorted((Path.home() / ".pyenv" / "versions").glob("3.13*/bin/python3.13"))
    for candidate in [shutil.which("python3.13"), *map(str, kept)]:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


@pytest.mark.long
@pytest.mark.skipif(platform.machine() not in ARCHITECTURES or sys.platform != "linux", reason="Lambda has no such one")
def test_the_zip_is_small_enough_and_renders_with_nothing_else(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    python, version, arguments = python_of_lambda(), "3.13", ["--arch", ARCHITECTURES[platform.machine()]]
    if python is None:  # then it is built for the Python that is here
        python, version = str(sys._base_executable), f"{sys.version_info.major}.{sys.version_info.minor}"  # type: ignore[attr-defined]
        arguments += ["--python", version]
    archive = built(tmp_path, python, *arguments)
    with zipfile.ZipFile(archive) as opened:
        unzipped = sum(entry.file_size for entry in opened.infolist())
        names = set(opened.namelist())
    zipped = archive.stat().st_size
    record_property(
        "zip of the Lambda function, MiB", f"{zipped / MIB:.1f}, unzipped {unzipped / MIB:.1f}, for Python {version}"
    )
    assert zipped < 50 * MIB
    assert unzipped < 250 * MIB
    assert "thumbq/aws_lambda/__init__.py" in names
    assert f"thumbq/aws_lambda/__pycache__/function.cpython-{version.replace('.', '')}.pyc" in names
    assert not [name for name in names if re.search(r"botocore/data/(ec2|iam)/|/tests/|\.pyi$", name)]
    assert render(python, tmp_path, archive) == "JPEG 100 75\n"


@pytest.mark.parametrize("arguments", [("--arch", "riscv64"), ("--arm",), ("--arch",)])
def test_arguments_that_make_no_sense_are_refused(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(["bash", DEPLOY / "build", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "--arch" in done.stderr


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    loaded: dict[str, Any] = read_template(DEPLOY / "sam.yaml")
    return loaded


def test_the_trigger_takes_partial_answers_and_hides_messages_for_six_time_limits(template: dict[str, Any]) -> None:
    trigger = template["Resources"]["Function"]["Properties"]["Events"]["Jobs"]["Properties"]
    assert trigger["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    times = template["Mappings"]["SixTimes"]["TimeoutSeconds"]
    assert {str(int(limit) * 6): hidden for limit, hidden in times.items()} == {
        str(each): each for each in times.values()
    }
    assert template["Parameters"]["TimeoutSeconds"]["AllowedValues"] == list(times)


def test_the_template_takes_the_names_of_an_articles_set_up(template: dict[str, Any]) -> None:
    names = {
        "FunctionName": "recvSQSMessage",
        "RoleName": "sqsLongPolling",
        "QueueName": "imgFileConvReq",
        "BucketName": "lambda-test-2020",
    }
    for parameter, name in names.items():
        assert re.fullmatch(template["Parameters"][parameter]["AllowedPattern"], name)
    policies = template["Resources"]["Role"]["Properties"]["Policies"]
    assert "s3ReadWriteAccess" in json.dumps(policies)


def test_its_document_names_the_build_and_parameters_that_the_template_has(template: dict[str, Any]) -> None:
    assert documents.example(LAMBDA, "Build", "sh") == "bash deploy/lambda/build\n"
    deploying, sending = documents.examples(LAMBDA, "Deployment", "text")
    overrides = deploying.partition("--parameter-overrides")[2]
    named = set(re.findall(r"\b(\w+)=", overrides)) | set(re.findall(r"`(\w+)=(?:true|false)`", documents.text(LAMBDA)))
    assert {"FunctionName", "RoleName", "QueueName", "BucketName", "MakeBucket", "MakeQueue", "Fifo"} <= named
    assert named <= template["Parameters"].keys()
    queue, bucket = (re.search(rf"{name}=(\S+)", overrides) for name in ("QueueName", "BucketName"))
    assert queue is not None
    assert bucket is not None
    assert sending.startswith(f"THUMBQ_BUCKET={bucket[1]} THUMBQ_QUEUE={queue[1]} thumbq send ")


def test_the_function_holds_what_its_render_processes_and_originals_may_need(template: dict[str, Any]) -> None:
    memory, processes = template["Parameters"]["MemorySize"], template["Parameters"]["RenderProcesses"]
    for size, number in ((memory["Default"], processes["Default"]), (memory["MinValue"], processes["MinValue"])):
        needed = needed_bytes(Settings(processes=number), uploads=False)
        assert needed <= (number << 30) + 624 * (1 << 20)  # as the parameter's text says
        assert needed <= size << 20
