"""S3 and SQS on this machine: moto from this environment, ministack from one of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REGION = "ap-northeast-1"
MINISTACK = "ministack==1.5.33"
_ROOT = Path(__file__).resolve().parent.parent


class EmulatorMissing(Exception):
    """The emulator cannot be had on this machine; the text says why."""


def aws_environment(endpoint: str) -> dict[str, str]:
    """Return the variables that point every AWS client at ``endpoint`` with made-up credentials."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def without_aws(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` without anything that AWS clients or thumbq read."""
    return {name: value for name, value in environ.items() if not name.startswith(("AWS_", "THUMBQ_", "BOTO"))}


@contextmanager
def aws_env(endpoint: str) -> Iterator[None]:
    """Point this process's AWS clients at ``endpoint`` and nowhere else; leaving restores the environment."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(without_aws(before) | aws_environment(endpoint))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def moto_server() -> Iterator[str]:
    """Run moto's server in a process of its own and yield its URL."""
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _served("moto_server", command, port, {}, ready="/moto-api/", within_s=30):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def ministack_server() -> Iterator[str]:
    """Run ministack in an environment of its own (its botocore is not ours) and yield its URL.

    Raises EmulatorMissing when there is no uv, or uv cannot get the package.
    """
    tool = [*_uv(), "tool", "run", "--from", MINISTACK, "--with", "hypercorn"]
    _fetch(tool)
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="ministack-") as data:
        # Queue URLs carry GATEWAY_PORT.
        extra = {"GATEWAY_PORT": str(port), "S3_DATA_DIR": data, "MINISTACK_REGION": REGION, "LOG_LEVEL": "WARNING"}
        command = [*tool, "python", "-m", "hypercorn", "ministack.app:app", "-b", f"127.0.0.1:{port}"]
        with _served("ministack", command, port, extra, ready="/_ministack/health", within_s=30):
            yield f"http://127.0.0.1:{port}"


def _uv() -> list[str]:
    for candidate in (shutil.which("uv"), str(_ROOT / ".uv" / "bin" / "uv")):
        if candidate is not None and Path(candidate).is_file():
            return [candidate]
    module = [sys.executable, "-m", "uv"]
    if subprocess.run([*module, "--version"], capture_output=True, check=False).returncode == 0:
        return module
    raise EmulatorMissing("uv is neither on PATH, nor in .uv/bin, nor a module of this Python")


def _fetch(tool: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            [*tool, "python", "-c", "import hypercorn, ministack"],
            env=without_aws(os.environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
    except subprocess.TimeoutExpired as error:
        raise EmulatorMissing(f"{MINISTACK} did not arrive within 180 s") from error
    if done.returncode != 0:
        raise EmulatorMissing(f"uv cannot get {MINISTACK}:\n{done.stderr.strip()[-2000:]}")


@contextmanager
def _served(
    name: str, command: Sequence[str], port: int, extra: dict[str, str], *, ready: str, within_s: float
) -> Iterator[None]:
    with tempfile.TemporaryFile(mode="w+") as log:
        process = subprocess.Popen(
            command,
            env=without_aws(os.environ) | extra,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if not _answers(process, f"http://127.0.0.1:{port}{ready}", within_s):
                log.seek(0)
                raise RuntimeError(f"{name} does not answer; its output:\n{log.read()[-4000:]}")
            yield
        finally:
            # The group: `uv tool run` has the server as its child.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(process: subprocess.Popen[bytes], url: str, within_s: float) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            time.sleep(0.05)
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
