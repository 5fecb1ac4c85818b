"""The function under Lambda's own runtime client, as a process without /dev/shm."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from support.lambda_runtime.runtime_api import InvocationFailed, RuntimeApi, runtime_api
from support.lambda_runtime.sqs_trigger import THROTTLED, function_environment, ten_messages, trigger
from support.patience import until
from support.replicas.replica import Replica, kill
from support.servers.emulators import without_aws

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers.fault_proxy import FaultProxy

SECRETS = ("AWS_LAMBDA_RUNTIME_API", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "THUMBQ_BUCKET")

# Gives the process a /dev of its own, in which there is all that Lambda has, and so no shm.
LAUNCH = """
set -eu
dev=$PWD/dev
mkdir "$dev"
mount -t tmpfs none "$dev"
for node in null zero full random urandom; do touch "$dev/$node"; mount --bind "/dev/$node" "$dev/$node"; done
ln -s /proc/self/fd "$dev/fd"
mount --rbind "$dev" /dev
test ! -e /dev/shm
if "$PYTHON" -c 'import multiprocessing; multiprocessing.Lock()' 2>/dev/null; then exit 97; fi
exec "$PYTHON" -m awslambdaric thumbq.aws_lambda.handler
"""


@pytest.fixture(scope="module")
def unshare() -> list[str]:
    """Return the command that runs another one with mounts of its own."""
    ways = [["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]]
    reason = ""
    for way in ways:
        done = subprocess.run([*way, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
        if done.returncode == 0:
            return way
        reason = f"mounts of one's own are not to be had here: {done.stderr.decode()}"
    if os.environ.get("CI") == "true":
        raise AssertionError(reason)
    pytest.skip(reason)


@pytest.fixture
def directory() -> Iterator[Path]:
    """Yield a directory outside /dev, where ``tmp_path`` may be and of which the function sees nothing."""
    with TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def environment_of_lambda(
    directory: Path, unshare: list[str], api: RuntimeApi, settings: dict[str, str]
) -> Iterator[Replica]:
    """Run the runtime client with the function; it asks ``api`` for its events."""
    environment = without_aws(os.environ) | settings | {"AWS_LAMBDA_RUNTIME_API": api.address, "PYTHON": sys.executable}
    with (directory / "stdout").open("wb") as stdout, (directory / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [*unshare, "sh", "-c", LAUNCH], cwd=directory, env=environment, stdout=stdout, stderr=stderr
        )
    tree = Replica(process, directory)
    try:
        yield tree
    finally:
        left = [process.pid, *tree.children()]
        for pid in left:
            kill(pid)
        process.wait()


async def invoked(api: RuntimeApi, event: Any, process: Replica) -> Any:
    """Return the function's answer; its process may also end."""
    call = asyncio.create_task(api.invoke(event))
    await until(
        lambda: call.done() or process.process.poll() is not None,
        within_s=30,
        what=lambda: f"an answer\n{process.stderr()}",
    )
    assert call.done(), f"the runtime client ended with {process.process.returncode}\n{process.stderr()}"
    return call.result()


def without_secrets(process: Replica) -> list[int]:
    """Show that nothing below the process has its secrets, and return the pids of the processes that render."""
    assert all(name in environment(process.process.pid) for name in SECRETS)
    for pid in process.children():
        assert not environment(pid) & set(SECRETS)
    return process.render_children()


def environment(pid: int) -> set[str]:
    return {entry.partition("=")[0] for entry in Path(f"/proc/{pid}/environ").read_text().split("\0")}


async def test_the_same_batch_under_the_runtime_client_where_no_semaphore_can_be_made(
    directory: Path, unshare: list[str], ministack_url: str, proxy: FaultProxy
) -> None:
    proxy.throttled = lambda asked: asked.service == "s3" and asked.path.endswith(THROTTLED)
    async with trigger(ministack_url) as source, runtime_api() as api:
        settings = function_environment(await proxy.endpoint("function")) | {"THUMBQ_BUCKET": source.bucket}
        with environment_of_lambda(directory, unshare, api, settings) as process:
            ten = await ten_messages(source)
            answer = await invoked(api, ten.event, process)
            await ten.shown(source, answer)
            await source.delete(ten.event, answer)
            proxy.throttled = lambda _: False
            renders = without_secrets(process)
            # The environment stands still between invocations, and a child does not live to see the next one.
            all_of_it = {process.process.pid, *process.children()}
            for pid in all_of_it:
                os.kill(pid, signal.SIGSTOP)
            os.kill(renders[0], signal.SIGKILL)
            for pid in all_of_it - {renders[0]}:
                os.kill(pid, signal.SIGCONT)
            again = await source.event(ten.failed)
            assert await invoked(api, again, process) == {"batchItemFailures": []}
            assert len(await source.keys("thumbnail/")) == 8
            with pytest.raises(InvocationFailed, match="no event of an SQS trigger"):
                await invoked(api, {"key1": "value1"}, process)
            assert not any("semaphore" in line or "Traceback" in line for line in process.stderr().splitlines())
