"""What deploy/Dockerfile promises, read from the file (`.ci/run` lints it), and its health check, run for real."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from packaging.specifiers import SpecifierSet

from support.patience import patience
from thumbq.pool.sandbox import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions and their arguments; continued lines are one."""
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word]


def last_stage() -> dict[str, str]:
    """Return the last value of every instruction of the stage that becomes the image."""
    steps = instructions()
    start = max(at for at, (word, _) in enumerate(steps) if word == "FROM")
    return dict(steps[start:])


def health_command() -> list[str]:
    command: list[str] = json.loads(last_stage()["HEALTHCHECK"].partition("CMD ")[2])
    return command


def test_the_image_runs_as_a_user_whom_a_number_shows_not_to_be_root() -> None:
    uid, gid = map(int, last_stage()["USER"].split(":"))
    assert uid > 999
    assert gid > 999


def test_thumbq_itself_gets_the_stop_signal_no_shell_is_between() -> None:
    stage = last_stage()
    assert json.loads(stage["ENTRYPOINT"]) == ["thumbq"]
    assert json.loads(stage["CMD"]) == ["serve"]
    assert stage["STOPSIGNAL"] == "SIGTERM"


def test_the_image_listens_on_all_its_addresses() -> None:
    assert "THUMBQ_HOST=0.0.0.0" in last_stage()["ENV"].split()


def test_the_image_is_not_built_without_the_library_of_the_sandbox() -> None:
    [load] = [json.loads(rest) for word, rest in instructions() if word == "RUN" and LIBRARY in rest]
    assert subprocess.run([sys.executable, *load[1:]], check=False).returncode == 0


def test_every_stage_stands_on_one_python_that_the_project_supports() -> None:
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    assert bases[1:] == ["base"] * (len(bases) - 1)
    tag = re.fullmatch(r"python:(\d+\.\d+)-slim-\w+", bases[0])
    assert tag
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert tag[1] in SpecifierSet(project["requires-python"])
    assert f"Programming Language :: Python :: {tag[1]}" in project["classifiers"]


def test_the_builder_is_given_every_file_that_it_copies() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    bound = re.findall(r"type=bind,source=([^,\s]+)", (ROOT / "deploy" / "Dockerfile").read_text())
    needed = {source for sources in copies for source in sources} | set(bound)
    assert needed == let_in
    assert all((ROOT / name).exists() for name in needed)


def test_the_health_check_asks_for_liveness_not_readiness() -> None:
    assert health_command() == ["python", "-I", "/app/healthcheck.py", "/livez"]
    assert ("COPY", "deploy/healthcheck.py /app/healthcheck.py") in instructions()


@contextmanager
def service(status: int) -> Iterator[int]:
    """Serve ``status`` on ``/livez`` and 404 elsewhere; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()
            self.wfile.write(b"draining")

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def check_health(port: int | str) -> subprocess.CompletedProcess[str]:
    """Run the image's health check as the engine would, behind a proxy that is not there."""
    flags, path = health_command()[1:-2], health_command()[-1]
    return subprocess.run(
        [sys.executable, *flags, ROOT / "deploy" / "healthcheck.py", path],
        env={"THUMBQ_PORT": str(port), "HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=patience(10),
        check=False,
    )


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (503, 1), (404, 1)])
def test_the_health_check_ends_with_what_the_service_answers(status: int, exit_code: int) -> None:
    with service(status) as port:
        done = check_health(port)
    assert done.returncode == exit_code
    assert done.stdout == f"http://127.0.0.1:{port}/livez: {status} draining\n"
    assert not done.stderr


def test_the_health_check_fails_without_a_traceback_when_nobody_listens() -> None:
    with service(200) as port:
        pass
    done = check_health(port)
    assert done.returncode == 1
    assert "ConnectionRefusedError" in done.stdout
    assert not done.stderr


def test_the_health_check_looks_at_the_default_port_when_kubernetes_sets_an_address() -> None:
    done = check_health("tcp://10.0.0.1:9999")
    assert done.stdout.startswith("http://127.0.0.1:8080/livez: ")
    assert not done.stderr
