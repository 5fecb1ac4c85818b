"""S3 and SQS on this machine: moto from this environment, ministack from one of its own."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.patience import patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

REGION = "ap-northeast-1"
MINISTACK = "ministack==1.5.33"
_START_S = 30
_ROOT = Path(__file__).resolve().parents[3]


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


def plain_client(service: str, environment: Mapping[str, str]) -> Any:
    """Return a client of botocore's own, for what thumbq's have no call for."""
    import botocore.session  # noqa: PLC0415 - most tests get along without botocore

    return botocore.session.get_session().create_client(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


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
def moto_server(directory: Path) -> Iterator[str]:
    """Yield the URL of moto's server, which all processes that share ``directory`` share."""

    def command(port: int) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, "-c", _LAUNCH, "moto.server", "-H", "127.0.0.1", "-p", str(port)], {}

    with _shared(directory / "moto", command, ready="/moto-api/") as url:
        yield url


@contextmanager
def ministack_server(directory: Path) -> Iterator[str]:
    """Yield the URL of a ministack, in an environment of its own (its botocore is not ours).

    All processes that share ``directory`` share it. Raises EmulatorMissing when there is no uv, or uv cannot get the
    package.
    """
    data = directory / "ministack-data"

    def command(port: int) -> tuple[list[str], dict[str, str]]:
        # Queue URLs carry GATEWAY_PORT.
        extra = {"GATEWAY_PORT": str(port), "S3_DATA_DIR": str(data), "MINISTACK_REGION": REGION}
        # Without workers hypercorn serves in its first process, and imports everything once.
        # A connection that it has just closed would fail a receive, which is sent once only.
        serve = ["hypercorn", "ministack.app:app", "-b", f"127.0.0.1:{port}", "--workers", "0", "--keep-alive", "600"]
        return [_ministack_python(), "-c", _LAUNCH, *serve], extra | {"LOG_LEVEL": "WARNING"}

    with _shared(directory / "ministack", command, ready="/_ministack/health") as url:
        yield url


def _uv() -> list[str]:
    for candidate in (shutil.which("uv"), str(_ROOT / ".uv" / "bin" / "uv")):
        if candidate is not None and Path(candidate).is_file():
            return [candidate]
    module = [sys.executable, "-m", "uv"]
    if subprocess.run([*module, "--version"], capture_output=True, check=False).returncode == 0:
        return module
    raise EmulatorMissing("uv is neither on PATH, nor in .uv/bin, nor a module of this Python")


def _ministack_python() -> str:
    """Return the interpreter of an environment that has ministack and its server."""
    command = [*_uv(), "tool", "run", "--from", MINISTACK, "--with", "hypercorn"]
    try:
        done = subprocess.run(
            [*command, "python", "-c", "import sys; print(sys.executable)"],
            env=without_aws(os.environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=patience(30),
        )
    except subprocess.TimeoutExpired as error:
        raise EmulatorMissing(f"{MINISTACK} did not arrive within {patience(30):g} s") from error
    if done.returncode != 0:
        raise EmulatorMissing(f"uv cannot get {MINISTACK}:\n{done.stderr.strip()[-2000:]}")
    return done.stdout.strip()


# Runs a module as `python -m` does, until nobody holds the lock on standard input any more: a user that is killed has
# let go of it too.
_LAUNCH = """
import fcntl, os, runpy, sys, threading

def end_when_unused():
    fcntl.flock(0, fcntl.LOCK_EX)
    os._exit(0)

threading.Thread(target=end_when_unused, daemon=True).start()
sys.argv.pop(0)
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@contextmanager
def _shared(place: Path, command: Callable[[int], tuple[list[str], dict[str, str]]], *, ready: str) -> Iterator[str]:
    """Yield the URL of the server that other users of ``place`` have started, or start it.

    It lives as long as it has users.
    """
    place.mkdir(exist_ok=True)
    with ExitStack() as stack:
        users = stack.enter_context((place / "users").open("a"))
        with (place / "starting").open("a") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            # Waits for the end of a server that has just lost its last user.
            fcntl.flock(users, fcntl.LOCK_SH)
            url = _running(place, ready)
            if url is None:
                url = stack.enter_context(_started(place, command, ready))
        try:
            yield url
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)


def _running(place: Path, ready: str) -> str | None:
    try:
        url = (place / "url").read_text()
    except FileNotFoundError:
        return None
    return url if _answers(f"{url}{ready}") else None


@contextmanager
def _started(place: Path, command: Callable[[int], tuple[list[str], dict[str, str]]], ready: str) -> Iterator[str]:
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    arguments, extra = command(port)
    with (place / "users").open() as users, (place / "log").open("a+") as log:
        process = subprocess.Popen(
            arguments,
            env=without_aws(os.environ) | extra,
            stdin=users,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        end = time.monotonic() + patience(_START_S)
        while not _answers(f"{url}{ready}"):
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                process.wait()
                log.seek(0)
                raise RuntimeError(f"{place.name} does not answer; its output:\n{log.read()[-4000:]}")
            time.sleep(0.05)
    (place / "url").write_text(url)
    try:
        yield url
    finally:
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
