"""`thumbq doctor` as a command: settings with their sources, secrets that stay hidden, exit codes, this machine."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from support.commands import thumbq
from thumbq.commands.doctor import Findings, Level, doctor, machine
from thumbq.commands.doctor.hosts import look_at_hosts
from thumbq.commands.doctor.machine import look_at_directory, look_at_renders, look_at_settings
from thumbq.errors import Problem, SetupError
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECRET = f"whsec_{'C' * 32}"
TOKEN = f"website:upload,read:{'a' * 64}"


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start no render process, and work in a directory that has what a local one has."""

    async def none(_: Any, __: Any) -> None:
        return

    monkeypatch.setattr(doctor, "look_at_renders", none)
    monkeypatch.setattr(machine, "derived", lambda settings: settings)
    monkeypatch.setattr(machine, "memory_problem", lambda _: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path


def test_each_setting_stands_there_with_its_value_and_its_source_and_no_secret_does(quick: Path) -> None:
    (quick / "thumbq.toml").write_text(
        f'port = 9000\n[webhooks]\nhosts = ["1.1.1.1"]\nsecrets = ["{SECRET}"]\n[presets.card]\nwidth = 640\n'
    )
    variables = {
        "THUMBQ_TOKENS": TOKEN,
        "AWS_ENDPOINT_URL": "https://me:hush@s3.example",
        "AWS_SECRET_ACCESS_KEY": "k3y",
    }
    done = thumbq("doctor", "--json", "--local", "data", **variables)
    assert done.exit_code == 0, done.output
    for hidden in (SECRET, TOKEN, "hush", "k3y"):
        assert hidden not in done.output
    document = json.loads(done.output)
    assert document["findings"] == []
    shown = {value["name"]: (value["value"], value["source"]) for value in document["settings"]}
    assert shown.keys() == Settings.model_fields.keys() | {"AWS_ENDPOINT_URL"}
    assert shown["port"] == (9000, "thumbq.toml: port")
    assert shown["local"] == ("data", "--local")
    assert shown["tokens"] == ("…", "THUMBQ_TOKENS")
    assert shown["host"] == ("127.0.0.1", "default")
    assert shown["webhooks"][0]["secrets"] == "…"
    assert shown["AWS_ENDPOINT_URL"] == ("https://…@s3.example", "AWS_ENDPOINT_URL")
    text = thumbq("doctor", "--local", "data", **variables).output
    assert "port = 9000  (thumbq.toml: port)\n" in text
    assert 'presets = ["thumbnail", "stretched", "jpgfiles", "card"]' in text
    assert text.endswith("\nnothing to mend\n")
    assert list((quick / "data").iterdir()) == []


def test_a_finding_says_what_it_is_why_and_what_to_do_and_the_exit_code_is_1(quick: Path) -> None:
    assert quick.is_dir()
    done = thumbq("doctor", "--local", "data", THUMBQ_HOST="0.0.0.0", THUMBQ_ACCESS="open")
    assert done.exit_code == 1
    assert done.output.endswith(
        "\nfinding: thumbq is open on 0.0.0.0\n"
        "  why: whoever reaches this address may upload, see and delete everything\n"
        "  do:  thumbq token new --scope upload,read, with its line in THUMBQ_TOKENS_FILE, and unset THUMBQ_ACCESS\n"
        "\n1 to mend\n"
    )


def test_without_a_place_or_with_settings_that_are_wrong_the_exit_code_is_2(quick: Path) -> None:
    assert quick.is_dir()
    done = thumbq("doctor")
    assert (done.exit_code, "not seen: thumbq does not know where to keep things\n" in done.output) == (2, True)
    done = thumbq("doctor", THUMBQ_PORT="x")
    assert (done.exit_code, "THUMBQ_PORT = 'x'" in done.output) == (2, True)


def test_a_local_directory_that_others_may_write_to_or_on_a_full_disk_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(directory: Path) -> list[tuple[Level, str]]:
        findings = Findings()
        look_at_directory(Settings(local=directory), directory, findings)
        return [(each.level, each.what) for each in findings.all()]

    assert found(tmp_path) == []
    assert found(tmp_path / "none") == [(Level.NOTE, f"there is no directory {tmp_path / 'none'}")]
    tmp_path.chmod(0o777)
    assert found(tmp_path) == [(Level.FINDING, f"everybody may write to {tmp_path}")]
    tmp_path.chmod(0o700)
    monkeypatch.setattr(machine, "_LEAST_FREE_BYTES", 1 << 62)
    [(level, what)] = found(tmp_path)
    assert (level, what.startswith(f"the disk of {tmp_path} has ")) == (Level.FINDING, True)


def test_metrics_that_everybody_may_read_are_a_note() -> None:
    findings = Findings()
    settings = Settings(local="data", host="0.0.0.0", metrics_port=9090, tokens=TOKEN)  # type: ignore[arg-type]
    look_at_settings(settings, findings)
    assert (Level.NOTE, "metrics are open on 0.0.0.0, port 9090") in [(one.level, one.what) for one in findings.all()]


def test_traces_that_there_will_not_be_are_what_the_service_warns_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> list[str]:
        findings = Findings()
        look_at_settings(Settings(local="data"), findings)  # type: ignore[arg-type]
        return [finding.what for finding in findings.all() if "traces" in finding.what]

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    assert found() == []
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert found() == ["traces are not sent by 'grpc'"]


def test_memory_and_open_files_are_what_the_service_warns_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_problem", lambda _: Problem("it may take 9 MiB: too much", "set it"))
    monkeypatch.setattr("thumbq.descriptors.raise_limit", lambda: 80)
    findings = Findings()
    look_at_settings(Settings(local="data", processes=8), findings)  # type: ignore[arg-type]
    memory, files = findings.all()
    assert (memory.what, memory.why, memory.fix) == ("it may take 9 MiB", "too much", "set it")
    assert files.what.startswith("the process may open 80 files")


async def test_a_host_of_callbacks_that_has_no_address_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(_: Any, host: str, *__: Any) -> list[Any]:
        raise OSError(f"no {host}")

    monkeypatch.setattr("thumbq.webhooks.lookup.Lookup.resolve", resolve)
    findings = Findings()
    webhooks = {"hosts": ["hooks.example.com", "*.example.org"], "secrets": [SECRET]}
    await look_at_hosts(Settings(local="data", webhooks=webhooks), findings)  # type: ignore[arg-type]
    assert [each.what for each in findings.all()] == [
        "host hooks.example.com of callbacks has no address: no hooks.example.com"
    ]


@pytest.mark.long
async def test_a_real_render_process_lacks_nothing() -> None:
    findings = Findings()
    await look_at_renders(Settings(local="data"), findings)  # type: ignore[arg-type]
    assert findings.all() == ()


async def test_what_a_render_process_lacks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def pool(settings: Settings) -> AsyncIterator[Any]:
        assert settings.processes == 1
        if settings.sandbox == "required":
            raise SetupError([Problem("images do not render", "install libwebp")])
        yield SimpleNamespace(unconfined=lambda: Problem("render processes are not confined: no libseccomp", "get it"))

    monkeypatch.setattr(machine, "render_pool", pool)
    findings = Findings()
    for sandbox in ("auto", "required"):
        await look_at_renders(Settings(local="data", processes=4, sandbox=sandbox), findings)  # type: ignore[arg-type]
    assert [(each.what, each.fix) for each in findings.all()] == [
        ("render processes are not confined", "get it"),
        ("images do not render", "install libwebp"),
    ]
