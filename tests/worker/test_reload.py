"""Presets, routes and tokens are read again at SIGHUP: new jobs have them, jobs that run end with what they had."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from structlog.testing import capture_logs

from support.doubles.consuming import consuming, put, record, settled
from support.doubles.rendering import FakeRenderer
from support.patience import within
from thumbq.accesstokens import AccessTokens
from thumbq.core import token
from thumbq.core.catalog import CatalogInForce
from thumbq.core.preset import Preset
from thumbq.process import at_hangups
from thumbq.settings import Settings, load
from thumbq.settingsreload import SettingsReload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thumbq.ports import Backend

OLD, NEW = Preset(name="thumbnail", width=100), Preset(name="thumbnail", width=200)
FIRST, SECOND = "a" * 43, "b" * 43
FILE = """\
max_uploads = 1
tokens = "{tokens}"

[presets.thumbnail]
width = {width}

[[routes]]
prefix = "camera/"
presets = ["thumbnail"]
"""


def line(name: str, text: str) -> str:
    return f"{name}:read:{token.digest_of(text).hex()}"


@pytest.fixture
def _hangups_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


class Reloaded:
    """A service's settings file, and what is in force."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.file = directory / "thumbq.toml"
        self.tokens_file = directory / "tokens"
        self.write(width=100, tokens=line("first", FIRST))
        settings = load(serving=True, config=str(self.file), **options)
        self.catalogs = CatalogInForce(settings.catalog)
        self.tokens = AccessTokens(settings.read_tokens()) if settings.asks_for_tokens else None
        read = partial(load, serving=True, config=str(self.file), **options)
        self.reload = SettingsReload(settings, read, self.catalogs, self.tokens).reload

    def write(self, *, width: int, tokens: str, more: str = "") -> None:
        self.file.write_text(more + FILE.format(width=width, tokens=tokens))

    async def line(self) -> Any:
        """Read all again, and return what is logged of it."""
        with capture_logs() as lines:
            await self.reload()
        [told] = lines
        return told

    def in_force(self) -> tuple[int | None, Sequence[bool]]:
        """Return the width of the preset, and which of the two tokens are known."""
        assert self.tokens is not None
        known = [self.tokens.find(text) is not None for text in (FIRST, SECOND)]
        return self.catalogs.current.presets["thumbnail"].width, known


@pytest.fixture
def reloaded(tmp_path: Path) -> Reloaded:
    return Reloaded(tmp_path)


async def test_a_job_that_runs_ends_with_its_presets_and_the_next_one_has_the_new(backend: Backend) -> None:
    settings = Settings(presets={"thumbnail": OLD, "gone": Preset(name="gone", width=1)}, routes=())
    catalogs = CatalogInForce(settings.catalog)
    renderer = FakeRenderer(60.0)
    async with consuming(backend, renderer, catalogs=catalogs):
        await put(backend, "uploads/first")
        await backend.queue.send('{"key": "uploads/first", "presets": ["thumbnail", "gone"]}')
        await anyio.sleep(30)
        assert renderer.renders == 1
        catalogs.change(Settings(presets={"thumbnail": NEW}, routes=()).catalog)
        await put(backend, "uploads/second")
        await backend.queue.send("uploads/second")
        await settled(backend, within_s=120)
    first, second = await record(backend, "uploads/first"), await record(backend, "uploads/second")
    assert first is not None
    assert second is not None
    assert first.recipes == {
        "thumbnail": OLD.fingerprint,
        "gone": settings.presets["gone"].fingerprint,
    }
    assert second.recipes == {"thumbnail": NEW.fingerprint}


@pytest.mark.real_time
@pytest.mark.usefixtures("_hangups_as_before")
async def test_each_hangup_has_all_read_again() -> None:
    read = 0

    async def reload() -> None:
        nonlocal read
        read += 1

    async with anyio.create_task_group() as tasks:
        await tasks.start(at_hangups, reload)
        for number in (1, 2):
            os.kill(os.getpid(), signal.SIGHUP)
            with within(5):
                while read < number:
                    await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()


@pytest.mark.real_time
async def test_presets_routes_and_tokens_are_in_force_and_what_needs_a_restart_is_named(reloaded: Reloaded) -> None:
    reloaded.write(width=200, tokens=line("second", SECOND), more='log_level = "debug"\n')
    reloaded.file.write_text(reloaded.file.read_text().replace("max_uploads = 1", "max_uploads = 2"))
    told = await reloaded.line()
    assert (told["event"], told["restart_for"]) == ("settings.read", ["max_uploads", "log_level"])
    assert (told["routes"], told["tokens"]) == (["camera/"], ["second"])
    assert set(told["presets"]) == set(reloaded.catalogs.preset_names)
    assert reloaded.in_force() == (200, [False, True])


@pytest.mark.real_time
async def test_another_file_of_tokens_is_in_force_at_once(reloaded: Reloaded) -> None:
    reloaded.tokens_file.write_text(line("second", SECOND))
    reloaded.write(width=100, tokens="", more=f'tokens_file = "{reloaded.tokens_file}"\n')
    told = await reloaded.line()
    assert (told["tokens"], told["restart_for"]) == (["second"], [])
    assert reloaded.in_force() == (100, [False, True])


WRONG = {
    "a preset that cannot be": FILE.format(width=0, tokens=line("second", SECOND)),
    "a route to no preset": FILE.format(width=200, tokens=line("second", SECOND)).replace('["thumbnail"]', '["gone"]'),
    "a setting that there is not": FILE.format(width=200, tokens=line("second", SECOND)) + "colour = 1\n",
    "a token that is none": FILE.format(width=200, tokens="second"),
    "no token": FILE.format(width=200, tokens=""),
    "a file of tokens that is not there": "tokens_file = 'gone'\n" + FILE.format(width=200, tokens=""),
    "a name that no file has": 'tokens_file = "a\\u0000b"\n' + FILE.format(width=200, tokens=""),
    "a place that nothing has": 'local = "a\\u0000b"\n' + FILE.format(width=200, tokens=""),
    "lists in lists": f"max_uploads = {'[' * 5000}{']' * 5000}",
    "a number without an end": f"max_uploads = {'1' * 5000}",
    "half of it": FILE[: len(FILE) // 2],
    "nothing": "",
    "no text": "\udcff",
}


@pytest.mark.real_time
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_file_changes_nothing_and_says_so(reloaded: Reloaded, wrong: str) -> None:
    reloaded.file.write_bytes(WRONG[wrong].encode(errors="surrogateescape"))
    if wrong == "nothing":
        reloaded.file.unlink()
    told = await reloaded.line()
    assert (told["event"], told["log_level"]) == ("settings.not_read", "error")
    assert told["problems"]
    assert "exc_info" not in told, "it is understood"
    assert reloaded.in_force() == (100, [True, False])
    reloaded.write(width=200, tokens=line("second", SECOND))
    assert (await reloaded.line())["event"] == "settings.read"
    assert reloaded.in_force() == (200, [False, True])


@pytest.mark.real_time
async def test_what_nobody_has_thought_of_ends_no_service(reloaded: Reloaded, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> bytes:
        raise MemoryError("no such thing as a file")

    monkeypatch.setattr(Path, "read_bytes", broken)
    told = await reloaded.line()
    assert (told["event"], told["problems"]) == ("settings.not_read", ["MemoryError: no such thing as a file"])
    assert reloaded.in_force() == (100, [True, False])


@pytest.mark.real_time
async def test_whether_clients_are_asked_for_tokens_is_decided_at_the_start(reloaded: Reloaded) -> None:
    reloaded.file.write_text('access = "open"\n[presets.thumbnail]\nwidth = 200\n')
    told = await reloaded.line()
    assert told["restart_for"] == ["max_uploads", "access", "tokens"]
    assert reloaded.in_force() == (200, [True, False])
